import { messageOf } from "../../../lib/errors.ts";
import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const [from = "", to = ""] = session.args.map((name) => name.trim());
  try {
    if (to === "") throw new Error("new name cannot be blank");
    await session.client.text("POST", path`/containers/${from}/rename`, { query: { name: to } });
  } catch (thrown) {
    throw new Error(`failed to rename container: ${messageOf(thrown)}`);
  }
}
