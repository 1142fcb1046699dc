import { path } from "../../api/client.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import type { Session } from "../../session.ts";

const KIND: RowKind = { typeName: "*checkpoint.checkpointContext", headers: { Name: "CHECKPOINT NAME" } };

export async function run({ client, flags, args, out }: Session): Promise<void> {
  const found = await client.json<{ Name: string }[] | null>("GET", path`/containers/${args[0] as string}/checkpoints`, { query: { dir: flags.string("checkpoint-dir") || undefined } });
  out.write(formatRows("table {{.Name}}", KIND, (found ?? []).map(({ Name }) => row(KIND, { Name: () => Name }))));
}
