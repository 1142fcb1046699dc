import { messageOf } from "../../../lib/errors.ts";
import { parsePlatform } from "../../../lib/platform.ts";
import { ApiError, path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const force = flags.bool("force");
  const platforms = flags.list("platform").map((platform) => JSON.stringify(parsePlatform(platform)));
  const query = { force: force || undefined, noprune: flags.bool("no-prune") || undefined, platforms: platforms.length > 0 ? platforms : undefined };
  const errors: string[] = [];
  let fatal = false;
  for (const name of args) {
    try {
      const done = await session.client.json<{ Deleted?: string; Untagged?: string }[]>("DELETE", path`/images/${name}`, { query });
      for (const { Deleted, Untagged } of done) session.out.line(Deleted ? `Deleted: ${Deleted}` : `Untagged: ${Untagged}`);
    } catch (thrown) {
      if (!(thrown instanceof ApiError && thrown.status === 404)) fatal = true;
      errors.push(messageOf(thrown));
    }
  }
  if (errors.length === 0) return;
  if (!force || fatal) throw new Error(errors.join("\n"));
  session.err.line(errors.join("\n"));
}
