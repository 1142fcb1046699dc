import { keyValues } from "../../create/key-values.ts";
import { checkLabel } from "../../create/checks.ts";
import type { FlagCheck } from "../../flag-types.ts";
import type { Session } from "../../session.ts";

export const checks: Record<string, FlagCheck> = { label: checkLabel };

const CLUSTER_FLAGS = ["availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred", "topology-required", "type"];

const filled = (key: string, pairs: string[]): Record<string, unknown> => (pairs.length > 0 ? { [key]: keyValues(pairs) } : {});

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const [argument = ""] = args;
  const named = flags.string("name");
  if (named !== "" && argument !== "") throw new Error("conflicting options: cannot specify a volume-name through both --name and as a positional arg");
  const cluster = CLUSTER_FLAGS.find((name) => flags.changed(name));
  if (cluster !== undefined) throw new Error(`--${cluster} is not implemented yet: cluster volumes need a swarm`);
  const { Name } = await session.client.json<{ Name: string }>("POST", "/volumes/create", {
    json: { Name: argument || named, Driver: flags.string("driver"), ...filled("DriverOpts", flags.list("opt")), ...filled("Labels", flags.list("label")) },
  });
  session.out.line(Name);
}
