/** linux.devices and the device rules. */
import type { ContainerRecord } from "../../../core/container.ts";
import { allDevicesRule, defaultDeviceRules } from "../../../core/oci-defaults.ts";
import { GantryError, invalidParameter, messageOf } from "../../../lib/errors.ts";
import type { OciDevice, OciMount, OciResources } from "../../../lib/oci-spec.ts";
import type { DeviceNode, SpecHost } from "./host.ts";

type DeviceRules = OciResources["devices"] & {};

export function devicesOf({ hostConfig }: Pick<ContainerRecord, "hostConfig">, host: SpecHost): { devices: OciDevice[]; rules: DeviceRules } {
  const mappings = hostConfig.Devices ?? [];
  if (hostConfig.Privileged) {
    const mapped = mappings.filter((device) => device.PathOnHost !== device.PathInContainer).flatMap((device) => mappedDevices(device.PathOnHost, device.PathInContainer, host));
    return { devices: distinct([...host.allDevices(), ...mapped]), rules: [allDevicesRule] };
  }
  const devices: DeviceNode[] = [];
  const rules: DeviceRules = [...defaultDeviceRules];
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of mappings) {
    const found = mappedDevices(PathOnHost, PathInContainer, host);
    devices.push(...found);
    rules.push(...found.map((device) => ({ allow: true, type: device.type, major: device.major, minor: device.minor, access: CgroupPermissions })));
  }
  return { devices: distinct(devices), rules: [...rules, ...(hostConfig.DeviceCgroupRules ?? []).map(parseRule)] };
}

/** Where nodes cannot be made, those of the host are bound; under other names only a mount can do that. */
export function renamedDevices({ hostConfig }: Pick<ContainerRecord, "hostConfig">, host: SpecHost): OciMount[] {
  const renamed = (hostConfig.Devices ?? []).filter((device) => device.PathOnHost !== device.PathInContainer);
  return renamed.flatMap(({ PathOnHost, PathInContainer }) => mappedDevices(PathOnHost, PathInContainer, host).map(({ path }) => ({ destination: path, type: "bind", source: PathOnHost + path.slice(PathInContainer.length), options: ["bind", "rprivate"] })));
}

/** The last one for each path. */
const distinct = (devices: readonly DeviceNode[]): DeviceNode[] => [...new Map(devices.map((device) => [device.path, device])).values()];

/** A device under another name, or each device of a folder under another folder. Throws Docker's error. */
export function mappedDevices(source: string, target: string, host: SpecHost): DeviceNode[] {
  try {
    const found = host.devicesAt(source);
    if (found.length > 0) return found.map((device) => ({ ...device, path: target + device.path.slice(source.length) }));
  } catch (error) {
    throw new GantryError("system", `error gathering device information while adding custom device ${JSON.stringify(source)}: ${messageOf(error)}`, { cause: error });
  }
  throw new GantryError("system", `error gathering device information while adding custom device ${JSON.stringify(source)}: not a device node`);
}

/** "c 1:3 rwm", "a *:* r" (the kernel's devices.allow form). */
function parseRule(text: string): DeviceRules[number] {
  const match = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/.exec(text);
  if (!match) throw invalidParameter(`invalid device cgroup rule format: '${text}'`);
  const [, type = "a", major, minor, access = ""] = match;
  return { allow: true, type, ...(major !== "*" && { major: Number(major) }), ...(minor !== "*" && { minor: Number(minor) }), access };
}
