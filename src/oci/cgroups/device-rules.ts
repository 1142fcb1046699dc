/**
 * Device rules (Linux.resources.devices), which apply in order, the last match deciding for each kind of access. Docker and
 * runc start from "everything denied" and end with the devices that every container may use.
 *
 * v1's devices controller keeps one default and a list of exceptions to it, so the rules are reduced to that form first; a
 * rule that would cut a hole into a wider exception has no such form and is refused. v2's program (device-program.ts) takes
 * the rules as they are.
 */
import { invalidParameter } from "../../lib/errors.ts";
import type { OciResources } from "../../lib/oci-spec.ts";
import type { CgroupWrite } from "./controller.ts";

export type OciDeviceRule = NonNullable<OciResources["devices"]>[number];

export interface DeviceRule {
  allow: boolean;
  /** "a": both kinds. */
  type: "a" | "b" | "c";
  /** -1: any. */
  major: number;
  minor: number;
  /** From "r", "w" and "m", in this order. */
  access: string;
}

const char = (major: number, minor: number, access = "rwm"): DeviceRule => ({ allow: true, type: "c", major, minor, access });

/** Added to every container's rules, as runc does: nodes may be made, the default devices, terminals and tun may be used. */
const standardRules: readonly DeviceRule[] = [
  char(-1, -1, "m"),
  { allow: true, type: "b", major: -1, minor: -1, access: "m" },
  char(1, 3),
  char(1, 8),
  char(1, 7),
  char(5, 0),
  char(1, 5),
  char(1, 9),
  char(136, -1),
  char(5, 2),
  char(10, 200),
];

export function deviceRules(asked: readonly OciDeviceRule[]): DeviceRule[] {
  return [...asked.map(parseRule), ...standardRules];
}

function parseRule(rule: OciDeviceRule, index: number): DeviceRule {
  const where = `linux.resources.devices[${index}]`;
  const type = rule.type === undefined || rule.type === "" ? "a" : rule.type === "u" ? "c" : rule.type;
  if (type !== "a" && type !== "b" && type !== "c") throw invalidParameter(`${where}.type ${JSON.stringify(rule.type)} is not a, b, c or u`);
  const access = rule.access === undefined || rule.access === "" ? "rwm" : rule.access;
  // runc passes over an "a", which cgroup v1 has as a type.
  if (/[^rwma]/.test(access)) throw invalidParameter(`${where}.access ${JSON.stringify(rule.access)} has letters other than r, w and m`);
  const number = (name: string, value: number | undefined): number => {
    if (value === undefined || value === null || value === -1) return -1;
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw invalidParameter(`${where}.${name} ${value} is not a device number`);
    return value;
  };
  const parsed: DeviceRule = { allow: rule.allow, type, major: number("major", rule.major), minor: number("minor", rule.minor), access: ordered(access) };
  if (type === "a" && (parsed.major !== -1 || parsed.minor !== -1)) throw invalidParameter(`${where}.type "a" cannot have a major or minor number`);
  return parsed;
}

const ordered = (access: string): string => [..."rwm"].filter((letter) => access.includes(letter)).join("");

/** The rules as writes to a new v1 group's devices.allow and devices.deny. */
export function deviceWrites(rules: readonly DeviceRule[]): CgroupWrite[] {
  const { allowAll, exceptions } = reduce(rules);
  const writes: CgroupWrite[] = [{ file: allowAll ? "devices.allow" : "devices.deny", data: "a" }];
  for (const [key, access] of exceptions) if (access !== "") writes.push({ file: allowAll ? "devices.deny" : "devices.allow", data: `${key} ${access}` });
  return writes;
}

/**
 * What changes the rules of a v1 group that has processes, given its devices.list: single exceptions, so that nothing else is denied for
 * a moment. A group that allows everything lists no exceptions: it is written anew.
 */
export function deviceChanges(rules: readonly DeviceRule[], listed: string): CgroupWrite[] {
  const { allowAll, exceptions } = reduce(rules);
  const lines = listed.split("\n").filter((line) => line !== "");
  if (allowAll || lines.some((line) => line.startsWith("a "))) return allowAll && lines.some((line) => line.startsWith("a ")) ? [] : deviceWrites(rules);
  const current = new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
  const keys = new Set([...current.keys(), ...exceptions.keys()]);
  const less = (one: string, other: string): string => [...one].filter((letter) => !other.includes(letter)).join("");
  return [...keys].flatMap((key) => {
    const [had, has] = [current.get(key) ?? "", exceptions.get(key) ?? ""];
    const [come, gone] = [less(has, had), less(had, has)];
    return [...(come === "" ? [] : [{ file: "devices.allow", data: `${key} ${come}` }]), ...(gone === "" ? [] : [{ file: "devices.deny", data: `${key} ${gone}` }])];
  });
}

interface Reduced {
  allowAll: boolean;
  /** "TYPE MAJOR:MINOR" to the kinds of access that differ from the default. */
  exceptions: Map<string, string>;
}

function reduce(rules: readonly DeviceRule[]): Reduced {
  let reduced: Reduced = { allowAll: false, exceptions: new Map() };
  for (const rule of rules) {
    if (rule.type === "a") {
      if (rule.access !== "rwm") throw invalidParameter(`device rule for all devices must have access "rwm" on cgroup v1, not ${JSON.stringify(rule.access)}`);
      reduced = { allowAll: rule.allow, exceptions: new Map() };
    } else apply(reduced, rule);
  }
  return reduced;
}

function apply({ allowAll, exceptions }: Reduced, rule: DeviceRule): void {
  const key = keyOf(rule);
  const own = exceptions.get(key) ?? "";
  if (rule.allow !== allowAll) {
    exceptions.set(key, ordered(own + rule.access));
    return;
  }
  for (const [other, access] of exceptions) {
    const shared = [...access].some((letter) => rule.access.includes(letter));
    if (!shared || !overlaps(rule, other)) continue;
    if (!contains(rule, other)) throw invalidParameter(`device rule ${rule.allow ? "allow" : "deny"} ${key} ${rule.access} contradicts the rule for ${other}, which cgroup v1 cannot express`);
    exceptions.set(other, [...access].filter((letter) => !rule.access.includes(letter)).join(""));
  }
}

const star = (number: number): string => (number === -1 ? "*" : String(number));
const keyOf = (rule: DeviceRule): string => `${rule.type} ${star(rule.major)}:${star(rule.minor)}`;

/** A key's type, major and minor. */
function partsOf(key: string): [type: string, major: string, minor: string] {
  const [type = "", numbers = ""] = key.split(" ");
  const [major = "", minor = ""] = numbers.split(":");
  return [type, major, minor];
}

/** Every device of `key` is one of the rule's. */
function contains(rule: DeviceRule, key: string): boolean {
  const [type, major, minor] = partsOf(key);
  return type === rule.type && (rule.major === -1 || major === String(rule.major)) && (rule.minor === -1 || minor === String(rule.minor));
}

/** Some device is both of `key` and of the rule. */
function overlaps(rule: DeviceRule, key: string): boolean {
  const [type, major, minor] = partsOf(key);
  const meets = (own: number, other: string): boolean => own === -1 || other === "*" || other === String(own);
  return type === rule.type && meets(rule.major, major) && meets(rule.minor, minor);
}
