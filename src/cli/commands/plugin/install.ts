import { parseReference } from "../../../lib/reference.ts";
import type { Session } from "../../session.ts";
import { notImplemented } from "../../status-error.ts";

export function run(session: Session): void {
  parseReference(session.args[0] as string);
  throw notImplemented(session.called);
}
