import { CREATE_CHECKS } from "../../create/checks.ts";
import { bodyFromFlags, createContainer } from "../../create/container.ts";
import type { Session } from "../../session.ts";

export const checks = CREATE_CHECKS;

export async function run(session: Session): Promise<void> {
  const body = await bodyFromFlags(session, "create");
  session.out.line(await createContainer(session, body));
}
