/** The mounts of a container: Docker's own, then what it asked for, shallow ones first. */
import type { ContainerRecord, MountPoint } from "../../../core/container.ts";
import { defaultMounts } from "../../../core/oci-defaults.ts";
import { systemError } from "../../../lib/errors.ts";
import type { OciMount } from "../../../lib/oci-spec.ts";
import { isPrivate } from "../modes.ts";
import { mapsOf } from "../user-namespace.ts";
import { parseSecurityOptions } from "../validate/security-options.ts";
import type { SpecInput } from "./host.ts";
import { tmpfsMountOptions } from "./tmpfs-options.ts";

/** Where the init program appears in a container that has one. */
export const INIT_PATH = "/sbin/docker-init";

export function mountsOf(input: SpecInput): { mounts: OciMount[]; rootfsPropagation: string | undefined } {
  const { record } = input;
  const propagation = new RootPropagation();
  const asked = [...bindsAndTmpfs(input, propagation), ...tmpfsMap(record), ...sandboxFiles(input)].sort((a, b) => depth(a) - depth(b));
  const destinations = new Set(asked.map((mount) => mount.destination));
  const mounts = [...ownMounts(input, destinations), ...asked];
  if (hasInit(input)) mounts.push({ destination: INIT_PATH, type: "bind", source: input.host.initPath, options: ["bind", "ro"] });
  if (record.hostConfig.ReadonlyRootfs) makeReadonly(mounts, destinations);
  makeWritable(mounts, input);
  return { mounts, rootfsPropagation: propagation.value };
}

const depth = (mount: OciMount): number => mount.destination.split("/").length;

export function hasInit({ record, settings }: SpecInput): boolean {
  return isPrivate(record.hostConfig.PidMode) && (record.hostConfig.Init ?? settings.init);
}

/** Docker's defaults without what was asked for in their place. */
function ownMounts(input: SpecInput, destinations: ReadonlySet<string>): OciMount[] {
  const kept = defaultMounts.filter(({ destination }) => !destinations.has(destination) && !(destinations.has("/dev") && destination.startsWith("/dev/")));
  return kept.flatMap((mount) => (mount.destination === "/dev/shm" ? sharedMemory(input, mount) : mount.type === "mqueue" ? messageQueues(input, mount) : [copyOf(mount)]));
}

const copyOf = (mount: OciMount): OciMount => ({ ...mount, options: [...(mount.options ?? [])] });

/** A user namespace that does not own the IPC namespace cannot mount its queues. */
function messageQueues({ record, host, settings }: SpecInput, own: OciMount): OciMount[] {
  if (record.hostConfig.IpcMode !== "host" || !mapsOf(settings, record)) return [copyOf(own)];
  return host.isMountpoint(own.destination) ? [{ destination: own.destination, type: "bind", source: own.destination, options: ["rbind", "nosuid", "noexec", "nodev", "rprivate"] }] : [];
}

function sharedMemory(input: SpecInput, own: OciMount): OciMount[] {
  const { IpcMode: mode, ShmSize: size } = input.record.hostConfig;
  if (mode === "none") return [];
  if (input.sharedMemory !== undefined) return [{ destination: "/dev/shm", type: "bind", source: input.sharedMemory, options: ["rbind", "rprivate"] }];
  return [{ ...own, options: [...(own.options ?? []), `size=${size}`] }];
}

function bindsAndTmpfs(input: SpecInput, propagation: RootPropagation): OciMount[] {
  const { record } = input;
  return record.mounts
    .filter((point) => !Object.hasOwn(record.hostConfig.Tmpfs ?? {}, point.destination))
    .map((point) => (point.type === "tmpfs" ? tmpfs(point.destination, point.options ?? "") : bind(point, input, propagation)));
}

const tmpfsMap = (record: ContainerRecord): OciMount[] => Object.entries(record.hostConfig.Tmpfs ?? {}).map(([destination, options]) => tmpfs(destination, options));
const tmpfs = (destination: string, options: string): OciMount => ({ destination, type: "tmpfs", source: "tmpfs", options: tmpfsMountOptions(options) });

function bind(point: MountPoint, input: SpecInput, propagation: RootPropagation): OciMount {
  propagation.require(point, input);
  const source = input.volumes?.get(point.destination) ?? point.source;
  return { destination: point.destination, type: "bind", source, options: [point.bind?.nonRecursive ? "bind" : "rbind", ...readOnly(point), ...(point.propagation === "" ? [] : [point.propagation])] };
}

function readOnly({ rw, bind: options }: MountPoint): string[] {
  if (options && !options.readOnly && options.readOnlyNonRecursive) throw systemError("mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive");
  if (options && !options.readOnly && options.readOnlyForceRecursive) throw systemError("mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive");
  if (options?.readOnlyNonRecursive && options.readOnlyForceRecursive) throw systemError("mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive");
  if (rw) return [];
  return [options?.readOnlyNonRecursive ? "ro" : "rro"];
}

/** Shared and slave binds need a root that passes mounts on, and a source on a mount that does. */
class RootPropagation {
  value: string | undefined;

  require(point: MountPoint, { host, settings }: SpecInput): void {
    const kind = point.propagation.replace(/^r/, "");
    if (kind !== "shared" && kind !== "slave") return;
    const { mountpoint, isShared, isSlave } = host.mountOf(point.source);
    if (kind === "shared" && !isShared) throw systemError(`path ${point.source} is mounted on ${mountpoint} but it is not a shared mount`);
    if (kind === "slave" && !isShared && !isSlave) {
      const isOurs = point.source.startsWith(settings.dataRoot) || settings.dataRoot.startsWith(point.source);
      if (isOurs) return;
      throw systemError(`path ${point.source} is mounted on ${mountpoint} but it is not a shared or slave mount`);
    }
    if (this.value !== "shared") this.value = kind === "shared" ? "shared" : "rslave";
  }
}

const FILES = [
  ["/etc/resolv.conf", "resolvConf"],
  ["/etc/hostname", "hostname"],
  ["/etc/hosts", "hosts"],
] as const;

/** Files of the sandbox, where nothing else was asked for. */
function sandboxFiles({ record, sandbox }: SpecInput): OciMount[] {
  const { files } = sandbox;
  if (!files) return [];
  const isReadonly = record.hostConfig.ReadonlyRootfs;
  return FILES.filter(([destination]) => !record.mounts.some((point) => point.destination === destination)).map(([destination, key]) => ({ destination, type: "bind", source: files[key], options: ["rbind", ...(isReadonly ? ["ro"] : []), "rprivate"] }));
}

/** With a read-only root Docker's own mounts are read-only, too, but for those that programs must write to. */
function makeReadonly(mounts: OciMount[], destinations: ReadonlySet<string>): void {
  const writable = new Set(["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
  for (const mount of mounts) {
    if (destinations.has(mount.destination) || writable.has(mount.destination) || mount.options?.includes("ro")) continue;
    mount.options = [...(mount.options ?? []), "ro"];
  }
}

/** Privileged containers may write to /sys; cgroups as the security option says. */
function makeWritable(mounts: OciMount[], { record: { hostConfig }, settings }: SpecInput): void {
  const asked = parseSecurityOptions(hostConfig.SecurityOpt).writableCgroups;
  if (asked !== undefined && settings.userMaps) throw systemError("option WritableCgroups conflicts with user namespaces and rootless mode");
  const writableCgroups = asked ?? hostConfig.Privileged;
  for (const mount of mounts) {
    const isWritable = (hostConfig.Privileged && mount.destination === "/sys") || (writableCgroups && mount.type === "cgroup");
    if (isWritable && mount.options) mount.options = mount.options.filter((option) => option !== "ro");
  }
}
