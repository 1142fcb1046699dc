import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachName } from "../each.ts";

export const run = (session: Session): Promise<void> => forEachName(session, session.args, (name) => session.client.text("POST", path`/containers/${name}/stop`, { query: stopQuery(session) }));

/** --timeout and its older name --time, and --signal. */
export function stopQuery(session: Session): { signal: string | undefined; t: number | undefined } {
  const { flags } = session;
  if (flags.changed("time") && flags.changed("timeout")) throw new Error("conflicting options: cannot specify both --timeout and --time");
  const flag = flags.changed("time") ? "time" : "timeout";
  return { signal: flags.string("signal") || undefined, t: flags.changed(flag) ? flags.int(flag) : undefined };
}
