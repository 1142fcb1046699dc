import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

/** Only cluster volumes change, and this engine has none. */
export async function run({ client, args }: Session): Promise<void> {
  await client.json("GET", path`/volumes/${args[0] ?? ""}`);
  throw new Error("can only update cluster volumes");
}
