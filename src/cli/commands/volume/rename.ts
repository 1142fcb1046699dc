import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run({ args, client }: Session): Promise<void> {
  await client.json("POST", path`/volumes/${args[0] as string}/rename`, { query: { name: args[1] } });
}
