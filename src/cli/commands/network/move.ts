import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { poolConfigs } from "./create.ts";

export async function run(session: Session): Promise<void> {
  const [network = ""] = session.args;
  if (!session.flags.changed("subnet")) throw new Error("--subnet says where to move the network");
  await session.client.text("POST", path`/gantry/networks/${network}/move`, { json: { Config: poolConfigs(session.flags) } });
  session.out.line(network);
}
