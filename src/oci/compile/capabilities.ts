import { capabilityNames } from "../../core/oci-defaults.ts";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import type { ExecStep } from "../plan/types.ts";

const numbers = new Map(capabilityNames.map((name, index) => [name, BigInt(index)]));

/** Names as a bit mask. Names that nobody knows are errors; those that this machine cannot give are left out with a warning. */
export function capabilityMask(names: readonly string[], options: { where: string; available: bigint; warn: (message: string) => void }): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = numbers.get(name);
    if (number === undefined) throw invalidParameter(`${options.where}: unknown capability ${JSON.stringify(name)}`);
    if ((options.available >> number) & 1n) mask |= 1n << number;
    else options.warn(`${options.where}: this machine cannot give ${name}, the container goes without`);
  }
  return mask;
}

/** Absent sets are empty (capabilities(7)); absent altogether, the process has none. */
export function compileCapabilities(capabilities: OciProcess["capabilities"], available: bigint, warn: (message: string) => void): NonNullable<ExecStep["capabilities"]> {
  const warned = new Set<string>();
  const warnOnce = (message: string): void => {
    const name = /CAP_\w+/.exec(message)?.[0] ?? message;
    if (!warned.has(name)) warn(message);
    warned.add(name);
  };
  const set = (name: keyof NonNullable<OciProcess["capabilities"]>): bigint =>
    capabilityMask(capabilities?.[name] ?? [], { where: `process.capabilities.${name}`, available, warn: warnOnce });
  return { bounding: set("bounding"), effective: set("effective"), permitted: set("permitted"), inheritable: set("inheritable"), ambient: set("ambient") };
}
