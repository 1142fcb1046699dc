import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachName } from "../each.ts";

export const run = (session: Session): Promise<void> => {
  const query = { signal: session.flags.string("signal") || undefined };
  const target = session.flags.bool("exec") ? (id: string) => path`/exec/${id}/kill` : (name: string) => path`/containers/${name}/kill`;
  return forEachName(session, session.args, (name) => session.client.text("POST", target(name), { query }));
};
