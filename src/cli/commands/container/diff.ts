import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";

const KINDS = ["C", "A", "D"];

export async function run(session: Session): Promise<void> {
  const name = session.args[0] as string;
  const changes = await session.client.json<{ Kind: number; Path: string }[] | null>("GET", path`/containers/${name}/changes`);
  for (const { Kind, Path } of changes ?? []) session.out.line(`${KINDS[Kind] ?? Kind} ${Path}`);
}
