import { path } from "../../api/client.ts";
import { checkLabel } from "../../create/checks.ts";
import { keyValues } from "../../create/key-values.ts";
import type { FlagCheck } from "../../flag-types.ts";
import type { Session } from "../../session.ts";

export const checks: Record<string, FlagCheck> = { label: checkLabel };

export const run = (session: Session): Promise<void> => copyVolume(session, "clone");

/** Prints the name of what was made. */
export async function copyVolume({ args, client, flags, out }: Session, how: "clone" | "snapshot"): Promise<void> {
  const query = { pause: flags.bool("no-pause") ? false : undefined };
  const { Name } = await client.json<{ Name: string }>("POST", path`/volumes/${args[0] as string}/${how}`, { query, json: { Name: args[1] ?? "", Labels: keyValues(flags.list("label")) } });
  out.line(Name);
}
