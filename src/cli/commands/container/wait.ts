import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { forEachNameInTurn } from "../each.ts";

interface Waited {
  StatusCode: number;
  Error?: { Message?: string } | null;
}

export const run = (session: Session): Promise<void> => {
  const condition = session.flags.string("condition");
  return forEachNameInTurn(session, session.args, async (name) => {
    const { StatusCode, Error: problem } = await session.client.json<Waited>("POST", path`/containers/${name}/wait`, condition === "" ? {} : { query: { condition } });
    if (condition === "healthy" && problem?.Message) throw new Error(`${name}: ${problem.Message}`);
    return String(StatusCode);
  });
};
