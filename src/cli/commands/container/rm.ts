import { ApiError, path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachName } from "../each.ts";

export function run(session: Session): Promise<void> {
  const { flags, client } = session;
  const force = flags.bool("force");
  const query = { v: flags.bool("volumes") || undefined, link: flags.bool("link") || undefined, force: force || undefined };
  return forEachName(session, session.args, async (name) => {
    const bare = name.replace(/^\/+|\/+$/g, "");
    if (bare === "") throw new Error("container name cannot be empty");
    try {
      await client.text("DELETE", path`/containers/${bare}`, { query });
    } catch (thrown) {
      if (force && thrown instanceof ApiError && thrown.status === 404) return false;
      throw thrown;
    }
    return name;
  });
}
