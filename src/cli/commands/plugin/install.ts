import { parseReference } from "../../../lib/reference.ts";
import type { Session } from "../../session.ts";

export function run(session: Session): void {
  parseReference(session.args[0] as string);
  throw new Error(`${session.called}: this command is not implemented yet`);
}
