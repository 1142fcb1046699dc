import { parsePlatform } from "../../../lib/platform.ts";
import { path } from "../../api/client.ts";
import { inspectAll } from "../../inspect/inspect.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const platform = session.flags.string("platform");
  const query = { platform: platform === "" ? undefined : JSON.stringify(parsePlatform(platform)) };
  await inspectAll(session.args, { format: session.flags.string("format"), out: session.out, find: (name) => session.client.text("GET", path`/images/${name}/json`, { query }) });
}
