import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const [network = "", container = ""] = session.args;
  await session.client.text("POST", path`/networks/${network}/disconnect`, { json: { Container: container, Force: session.flags.bool("force") } });
}
