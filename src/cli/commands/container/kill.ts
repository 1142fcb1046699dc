import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachName } from "../each.ts";

export const run = (session: Session): Promise<void> =>
  forEachName(session, session.args, (name) => session.client.text("POST", path`/containers/${name}/kill`, { query: { signal: session.flags.string("signal") || undefined } }));
