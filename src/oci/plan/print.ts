/** Plans for people (a line an op) and for programs (JSON, in which big numbers are hexadecimal and programs base64). */
import { capabilityNames } from "../../core/oci-defaults.ts";
import type { ExecStep, MountAttributes, Plan, PlanNamespace } from "./types.ts";

export function planJson(plan: Plan): string {
  return JSON.stringify(plan, (_, value: unknown) => {
    if (typeof value === "bigint") return `0x${value.toString(16)}`;
    return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
  }, 2);
}

export function planText(plan: Plan): string {
  const sections: [title: string, lines: string[]][] = [
    ["namespaces", plan.namespaces.map(namespaceText)],
    ["before the container's first process, on the host", plan.host.map(opText)],
    ["beside it", plan.parent.map(opText)],
    ["in it", plan.child.map(opText)],
    ["its program", execLines(plan.exec)],
    ["when it has ended", plan.teardown.map(opText)],
  ];
  return sections.filter(([, lines]) => lines.length > 0).map(([title, lines]) => `${title}:\n${lines.map((line) => `  ${line}\n`).join("")}`).join("");
}

function namespaceText(namespace: PlanNamespace): string {
  if (namespace.kind === "join") return `${namespace.type}: join ${namespace.path}`;
  return `${namespace.type}: ${namespace.kind === "new" ? "new" : "join the one that was handed over"}`;
}

/** The op's name, what it is done to, then the rest as name=value. */
function opText(op: { op: string; [field: string]: unknown }): string {
  const { op: name, ...fields } = op;
  const subject = ["target", "path", "name"].find((field) => typeof fields[field] === "string");
  const rest = Object.entries(fields).filter(([field]) => field !== subject).map(([field, value]) => fieldText(field, value)).filter((text) => text !== "");
  return [name, ...(subject === undefined ? [] : [fields[subject]]), ...rest].join(" ");
}

function fieldText(field: string, value: unknown): string {
  if (field === "attributes") return attributesText(value as MountAttributes);
  if (field === "mode" && typeof value === "number") return `mode=${value.toString(8).padStart(4, "0")}`;
  if (field === "options") return (value as [string, string | null][]).map(([key, one]) => (one === null ? key : `${key}=${one}`)).join(",");
  if (value instanceof Uint8Array) return `${field}=${value.length / 8} instructions`;
  if (field === "hierarchies") return (value as { name: string }[]).map(({ name }) => name).join(",");
  if (value === false || value === undefined) return "";
  if (value === true) return field;
  return `${field}=${typeof value === "object" ? JSON.stringify(value) : String(value).trim().replaceAll("\n", "; ")}`;
}

const attributeNames: [bit: bigint, name: string][] = [[0x1n, "ro"], [0x2n, "nosuid"], [0x4n, "nodev"], [0x8n, "noexec"], [0x10n, "noatime"], [0x20n, "strictatime"], [0x80n, "nodiratime"], [0x100000n, "idmap"], [0x200000n, "nosymfollow"]];
const namesIn = (bits: bigint): string[] => attributeNames.filter(([bit]) => bits & bit).map(([, name]) => name);

function attributesText({ set, clear, recursiveSet, recursiveClear }: MountAttributes): string {
  const cleared = (bits: bigint, over: bigint): string[] => namesIn(bits & ~0x70n & ~over).map((name) => `not-${name}`);
  return [...namesIn(set), ...cleared(clear, set), ...namesIn(recursiveSet).map((name) => `r${name}`), ...cleared(recursiveClear, recursiveSet).map((name) => `r${name}`)].join(",");
}

function execLines(exec: ExecStep): string[] {
  const { args, env, capabilities, seccomp, user, rlimits, ...rest } = exec;
  const lines = [`args ${args.map((arg) => JSON.stringify(arg)).join(" ")}`, ...env.map((entry) => `env ${entry}`)];
  lines.push(`user ${user.spec ?? `${user.uid}:${user.gid}`}${user.additionalGids.length > 0 ? ` groups ${user.additionalGids.join(",")}` : ""}`);
  for (const [name, mask] of Object.entries(capabilities ?? {})) if (mask !== 0n) lines.push(`capabilities ${name} ${capabilityNames.filter((_, bit) => (mask >> BigInt(bit)) & 1n).join(",")}`);
  for (const { resource, soft, hard } of rlimits) lines.push(`rlimit ${resource} ${soft}:${hard}`);
  if (seccomp !== undefined) lines.push(`seccomp ${seccomp.program.length / 8} instructions, flags ${seccomp.flags}`);
  for (const [name, value] of Object.entries(rest)) {
    const text = fieldText(name, value);
    if (text !== "") lines.push(text.replace("=", " "));
  }
  return lines;
}
