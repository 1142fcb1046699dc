import { capabilityNames } from "../../core/oci-defaults.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import type { ExecStep } from "../plan/types.ts";

const numbers = new Map(capabilityNames.map((name, index) => [name, BigInt(index)]));

/** Names as a bit mask. Names that nobody knows, and those that this machine cannot give, are left out with a warning. */
export function capabilityMask(names: readonly string[], options: { where: string; available: bigint; warn: (message: string) => void }): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = numbers.get(name);
    // As the specification has it: whoever wrote the configuration may know a newer kernel.
    if (number === undefined) options.warn(`${options.where}: unknown capability ${JSON.stringify(name)} is ignored`);
    else if ((options.available >> number) & 1n) mask |= 1n << number;
    else options.warn(`${options.where}: this machine cannot give ${name}, the container goes without`);
  }
  return mask;
}

/** Without what this machine cannot give: other runtimes fail at it. */
export function givenCapabilities(capabilities: NonNullable<OciProcess["capabilities"]>, available: bigint): NonNullable<OciProcess["capabilities"]> {
  const isGiven = (name: string): boolean => ((available >> (numbers.get(name) ?? 0n)) & 1n) === 1n;
  return Object.fromEntries(Object.entries(capabilities).map(([set, names]) => [set, names?.filter(isGiven)]));
}

/** The kernel raises only what is permitted and inheritable (capabilities(7)). */
function raisable(ambient: bigint, possible: bigint, warn: (message: string) => void): bigint {
  capabilityNames.forEach((name, number) => {
    if (((ambient & ~possible) >> BigInt(number)) & 1n) warn(`process.capabilities.ambient: can't raise ambient capability ${name}: it is not permitted and inheritable`);
  });
  return ambient & possible;
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
  const [bounding, effective, permitted, inheritable, ambient] = [set("bounding"), set("effective"), set("permitted"), set("inheritable"), set("ambient")];
  return { bounding, effective, permitted, inheritable, ambient: raisable(ambient, permitted & inheritable, warn) };
}
