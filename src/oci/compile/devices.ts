/** Device nodes and links below /dev. */
import { posix } from "node:path";
import { defaultDevices } from "../../core/oci-defaults.ts";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciDevice, OciMount } from "../../lib/oci-spec.ts";
import type { ChildOp } from "../plan/types.ts";

/** runtime-spec, "Default Devices" and "Dev symbolic links". Nothing is made in a /dev that is the host's. */
export function deviceOps(devices: readonly OciDevice[], mounts: readonly OciMount[], options: { kcore: boolean }): ChildOp[] {
  const mounted = new Map(mounts.map((mount) => [posix.resolve("/", mount.destination), mount]));
  const dev = mounted.get("/dev");
  if (dev !== undefined && (dev.type === "bind" || dev.options?.some((option) => option === "bind" || option === "rbind"))) return [];
  const asked = devices.map(parseDevice);
  const paths = new Set(asked.map(({ target }) => target));
  const standard = defaultDevices.map((device, index) => parseDevice(device, index)).filter(({ target }) => !paths.has(target));
  const nodes = [...standard, ...asked].filter(({ target }) => !mounted.has(target));
  return [...nodes, ...links(options.kcore).filter((link) => link.op === "symlink" && !mounted.has(link.target) && !paths.has(link.target))];
}

function links(kcore: boolean): ChildOp[] {
  const all: [target: string, to: string][] = [
    ["/dev/fd", "/proc/self/fd"],
    ["/dev/stdin", "/proc/self/fd/0"],
    ["/dev/stdout", "/proc/self/fd/1"],
    ["/dev/stderr", "/proc/self/fd/2"],
    ["/dev/ptmx", "pts/ptmx"],
  ];
  if (kcore) all.push(["/dev/core", "/proc/kcore"]);
  return all.map(([target, to]) => ({ op: "symlink", target, to }));
}

function parseDevice(device: OciDevice, index: number): ChildOp & { op: "mknod" } {
  const where = `linux.devices[${index}]`;
  const type = device.type === "u" ? "c" : device.type;
  if (type !== "c" && type !== "b" && type !== "p") throw invalidParameter(`${where}.type ${JSON.stringify(device.type)} is not c, b, u or p`);
  if (!device.path.startsWith("/") || device.path.includes("\0")) throw invalidParameter(`${where}.path ${JSON.stringify(device.path)} is not an absolute path`);
  if (type !== "p" && (device.major === undefined || device.minor === undefined)) throw invalidParameter(`${where}: major and minor are missing`);
  for (const [name, value] of [["major", device.major], ["minor", device.minor]] as const) {
    if (value !== undefined && (value < 0 || value > 0xffff_ffff)) throw invalidParameter(`${where}.${name} ${value} is not a device number`);
  }
  return {
    op: "mknod",
    target: posix.normalize(device.path),
    type,
    major: device.major ?? 0,
    minor: device.minor ?? 0,
    mode: (device.fileMode ?? 0o666) & 0o7777,
    uid: device.uid ?? 0,
    gid: device.gid ?? 0,
    bindFallback: type !== "p",
  };
}
