import type { Session } from "../session.ts";
import { startFailure } from "./container.ts";
import type { CreateBody } from "./body.ts";

/** Prints what the daemon would do to make and start the container; nothing is done. */
export async function showPlan(session: Session, body: CreateBody): Promise<void> {
  let answer: string;
  try {
    answer = await session.client.text("POST", "/containers/create", { query: { name: session.flags.string("name") || undefined, dryRun: true }, json: body });
  } catch (thrown) {
    throw startFailure(session.program, thrown);
  }
  const plan = answer.trimStart().startsWith("{") || answer.trimStart().startsWith("[") ? (JSON.parse(answer) as { Id?: string }) : answer;
  if (typeof plan === "object" && plan !== null && "Id" in plan) {
    await session.client.text("DELETE", `/containers/${plan.Id}`);
    throw new Error("--dry-run is only supported by gantryd: the daemon created the container, and it was removed again");
  }
  session.out.line(typeof plan === "string" ? plan.trimEnd() : JSON.stringify(plan, null, 2));
}
