import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachNameInTurn } from "../each.ts";

export const run = (session: Session): Promise<void> =>
  forEachNameInTurn(session, session.args, async (name) => {
    const { StatusCode } = await session.client.json<{ StatusCode: number }>("POST", path`/containers/${name}/wait`);
    return String(StatusCode);
  });
