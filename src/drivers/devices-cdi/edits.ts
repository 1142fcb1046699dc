/** Container edits, applied to a configuration as the Container Device Interface says. */
import { systemError, messageOf } from "../../lib/errors.ts";
import type { OciDevice, OciHook, OciLinux, OciProcess, OciSpec } from "../../lib/oci-spec.ts";
import { devicesAt } from "../../sys/device-nodes.ts";
import type { ContainerEdits } from "./spec-files.ts";

/** Changes `spec` in place. */
export function applyEdits(spec: OciSpec, edits: ContainerEdits): void {
  const process = spec.process;
  const linux = (spec.linux ??= {});
  if (process) editProcess(process, edits);
  for (const node of edits.deviceNodes ?? []) addDevice(linux, deviceOf(node, process?.user), node.permissions ?? "rwm");
  for (const { hostInterfaceName, name } of edits.netDevices ?? []) (linux.netDevices ??= {})[hostInterfaceName] = { name };
  if (edits.mounts?.length) addMounts(spec, edits.mounts);
  for (const { hookName, ...hook } of edits.hooks ?? []) addHook(spec, hookName, hook);
  if (edits.intelRdt) linux.intelRdt = edits.intelRdt;
}

function editProcess(process: OciProcess, { env = [], additionalGids = [] }: ContainerEdits): void {
  const nameOf = (variable: string): string => variable.slice(0, variable.indexOf("="));
  const replaced = new Set(env.map(nameOf));
  process.env = [...(process.env ?? []).filter((variable) => !replaced.has(nameOf(variable))), ...env];
  const more = additionalGids.filter((gid) => gid !== 0);
  if (more.length > 0) process.user.additionalGids = [...new Set([...(process.user.additionalGids ?? []), ...more])];
}

type DeviceNode = NonNullable<ContainerEdits["deviceNodes"]>[number];

/** What the file does not say of a device, the host's node does. */
function deviceOf({ path, hostPath = path, type, major, minor, fileMode, uid, gid }: DeviceNode, user: { uid: number; gid: number } | undefined): OciDevice {
  const isWhole = type === "p" || (type !== undefined && major !== undefined && minor !== undefined);
  const found = isWhole ? { type, major, minor } : nodeAt(hostPath);
  const owner = { uid: uid ?? (user?.uid || undefined), gid: gid ?? (user?.gid || undefined) };
  return {
    path,
    type: type ?? found.type,
    ...(found.major !== undefined && { major: major ?? found.major }),
    ...(found.minor !== undefined && { minor: minor ?? found.minor }),
    ...(fileMode !== undefined && { fileMode }),
    ...(owner.uid !== undefined && { uid: owner.uid }),
    ...(owner.gid !== undefined && { gid: owner.gid }),
  };
}

function nodeAt(path: string): OciDevice {
  try {
    const [device, ...others] = devicesAt(path);
    if (device && others.length === 0) return device;
  } catch (error) {
    throw systemError(`CDI device injection failed: device node ${path}: ${messageOf(error)}`, error);
  }
  throw systemError(`CDI device injection failed: ${path} is not a device node`);
}

function addDevice(linux: OciLinux, device: OciDevice, access: string): void {
  linux.devices = [...(linux.devices ?? []).filter(({ path }) => path !== device.path), device];
  if (device.type !== "b" && device.type !== "c") return;
  const resources = (linux.resources ??= {});
  resources.devices = [...(resources.devices ?? []), { allow: true, type: device.type, ...(device.major !== undefined && { major: device.major }), ...(device.minor !== undefined && { minor: device.minor }), access }];
}

/** Mounts in outer folders come first. */
function addMounts(spec: OciSpec, mounts: NonNullable<ContainerEdits["mounts"]>): void {
  const added = mounts.map(({ hostPath, containerPath, type, options }) => ({ destination: containerPath, source: hostPath, ...(type !== undefined && { type }), ...(options && { options }) }));
  const places = new Set(added.map(({ destination }) => destination));
  const depth = ({ destination }: { destination: string }): number => destination.split("/").filter(Boolean).length;
  spec.mounts = [...(spec.mounts ?? []).filter(({ destination }) => !places.has(destination)), ...added].sort((a, b) => depth(a) - depth(b));
}

function addHook(spec: OciSpec, name: string, hook: OciHook): void {
  const hooks = (spec.hooks ??= {});
  const list = (hooks[name as keyof typeof hooks] ??= []);
  list.push(hook);
}
