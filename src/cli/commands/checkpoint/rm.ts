import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run({ client, flags, args }: Session): Promise<void> {
  const [container = "", checkpoint = ""] = args;
  await client.text("DELETE", path`/containers/${container}/checkpoints/${checkpoint}`, { query: { dir: flags.string("checkpoint-dir") || undefined } });
}
