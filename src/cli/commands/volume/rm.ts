import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachNameInTurn } from "../each.ts";

export const run = (session: Session): Promise<void> =>
  forEachNameInTurn(session, session.args, (name) => session.client.text("DELETE", path`/volumes/${name}`, { query: { force: session.flags.bool("force") || undefined } }));
