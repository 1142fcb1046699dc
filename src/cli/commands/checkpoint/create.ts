import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

export async function run({ client, flags, args, out }: Session): Promise<void> {
  const [container = "", checkpoint = ""] = args;
  await client.text("POST", path`/containers/${container}/checkpoints`, { json: { CheckpointID: checkpoint, CheckpointDir: flags.string("checkpoint-dir"), Exit: !flags.bool("leave-running") } });
  out.line(checkpoint);
}
