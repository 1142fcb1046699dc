import { path } from "../../api/client.ts";
import { checkLabel } from "../../create/checks.ts";
import { keyValues } from "../../create/key-values.ts";
import type { FlagCheck } from "../../flag-types.ts";
import type { Session } from "../../session.ts";

export const checks: Record<string, FlagCheck> = { "label-add": checkLabel };

/** Labels, which is Gantry's own. Everything else is of cluster volumes, and this engine has none. */
export async function run({ args, client, flags, out }: Session): Promise<void> {
  const name = args[0] ?? "";
  const [add, remove] = [flags.list("label-add"), flags.list("label-rm")];
  if (add.length + remove.length === 0) {
    await client.json("GET", path`/volumes/${name}`);
    throw new Error("can only update cluster volumes");
  }
  if (flags.changed("availability")) throw new Error("--availability is not implemented yet: cluster volumes need a swarm");
  await client.json("POST", path`/volumes/${name}/labels`, { json: { Add: keyValues(add), Remove: remove } });
  out.line(name);
}
