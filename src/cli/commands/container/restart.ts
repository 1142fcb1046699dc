import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachNameInTurn } from "../each.ts";
import { stopQuery } from "./stop.ts";

export const run = (session: Session): Promise<void> => forEachNameInTurn(session, session.args, (name) => session.client.text("POST", path`/containers/${name}/restart`, { query: stopQuery(session) }));
