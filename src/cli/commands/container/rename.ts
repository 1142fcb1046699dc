import { messageOf } from "../../../lib/errors.ts";
import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const [from = "", to = ""] = session.args.map((name) => name.trim());
  if (from === "" || to === "") throw new Error("Error: Neither old nor new names may be empty");
  try {
    await session.client.text("POST", path`/containers/${from}/rename`, { query: { name: to } });
  } catch (thrown) {
    throw new Error(`failed to rename container: ${messageOf(thrown)}`);
  }
}
