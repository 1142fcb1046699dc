/** The mount points of a container from everything that asks for one: other containers, binds, mounts. */
import type { HostConfig, Mount } from "../../../core/container-config.ts";
import type { ContainerRecord, MountPoint } from "../../../core/container.ts";
import { codeOf, invalidParameter, messageOf, notFound, notImplemented, type GantryError } from "../../../lib/errors.ts";
import { quote } from "../../../lib/strconv.ts";
import { cleanPath } from "../validate/config.ts";
import { parseBind, parseVolumesFrom, tmpfsOptions } from "./spec.ts";

export interface MountSources {
  findContainer(ref: string): ContainerRecord;
  /** Throws Docker's not-found. */
  resolveImage(ref: string): Promise<unknown>;
  /** Folders of the engine: what is bound from or above them must not keep the engine's own mounts busy. */
  dataRoot: string;
  /** API versions below 1.44: read-only binds do not cover what is mounted below them. */
  readOnlyNonRecursive: boolean;
}

/** In the order of destinations. Throws Docker's errors for duplicates, and what this version has not (volumes). */
export async function resolveMountPoints(hostConfig: HostConfig, sources: MountSources): Promise<MountPoint[]> {
  const points = new Map<string, MountPoint>();
  for (const spec of hostConfig.VolumesFrom ?? []) for (const point of pointsFrom(spec, sources)) points.set(point.destination, point);
  const taken = new Set<string>();
  for (const bind of hostConfig.Binds ?? []) {
    const { mount, mode } = parseBind(bind, hostConfig.VolumeDriver);
    const point = { ...(await pointOf(mount, sources)), mode };
    if (taken.has(point.destination) || Object.hasOwn(hostConfig.Tmpfs ?? {}, point.destination)) throw duplicate(point.destination);
    if (point.bind) point.bind.createSource = true;
    taken.add(point.destination);
    points.set(point.destination, point);
  }
  for (const mount of hostConfig.Mounts ?? []) {
    const point = await pointOf(mount, sources);
    if (taken.has(point.destination)) throw duplicate(mount.Target);
    taken.add(point.destination);
    points.set(point.destination, point);
  }
  return [...points.values()].sort((a, b) => (a.destination < b.destination ? -1 : 1));
}

const duplicate = (target: string): GantryError => invalidParameter(`Duplicate mount point: ${target}`);

function pointsFrom(spec: string, sources: MountSources): MountPoint[] {
  const { container, readonly } = parseVolumesFrom(spec);
  let other: ContainerRecord;
  try {
    other = sources.findContainer(container);
  } catch (error) {
    throw codeOf(error) === "not-found" ? invalidParameter(messageOf(error), error) : error;
  }
  return other.mounts.map((point) => ({ ...structuredClone(point), mode: "", rw: point.rw && !readonly }));
}

async function pointOf(mount: Mount, sources: MountSources): Promise<MountPoint> {
  const common = { destination: cleanPath(mount.Target), mode: "", rw: !mount.ReadOnly, source: "", propagation: "" };
  switch (mount.Type) {
    case "bind":
      return { ...common, type: "bind", source: cleanPath(mount.Source), propagation: propagationOf(mount, sources.dataRoot), bind: bindOptions(mount, sources) };
    case "tmpfs":
      return { ...common, type: "tmpfs", options: tmpfsOptions(mount) };
    case "volume":
      throw volumeRefusal(mount);
    default:
      await sources.resolveImage(mount.Source);
      throw notImplemented(`mount of image ${quote(mount.Source)} at ${mount.Target}: image mounts are not implemented yet`);
  }
}

function bindOptions(mount: Mount, sources: MountSources): MountPoint["bind"] & {} {
  const options = mount.BindOptions;
  return {
    readOnly: mount.ReadOnly,
    nonRecursive: options?.NonRecursive ?? false,
    readOnlyNonRecursive: (options?.ReadOnlyNonRecursive ?? false) || (mount.ReadOnly && sources.readOnlyNonRecursive),
    readOnlyForceRecursive: options?.ReadOnlyForceRecursive ?? false,
    createSource: options?.CreateMountpoint ?? false,
  };
}

/** Binds of the engine's own folders get "rslave" unless asked for otherwise, so that its unmounts reach into the container. */
function propagationOf(mount: Mount, dataRoot: string): string {
  const asked = mount.BindOptions?.Propagation ?? "";
  if (!mount.Source.startsWith(dataRoot) && !dataRoot.startsWith(mount.Source)) return asked === "" ? "rprivate" : asked;
  if (asked === "" || (mount.BindOptions === null && asked === "")) return "rslave";
  if (asked === "rslave" || asked === "rshared") return asked;
  throw invalidParameter(`invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: ${quote(dataRoot)}, bind mount source: ${quote(mount.Source)}, propagation: ${quote(asked)}`);
}

const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Docker's own complaint about the name or driver where it has one; otherwise that volumes are missing. */
export function volumeRefusal(mount: Mount): GantryError {
  const name = mount.Source;
  const driver = mount.VolumeOptions?.DriverConfig?.Name ?? "";
  const shown = name === "" ? "anonymous volume" : `volume ${quote(name)}`;
  if (driver !== "" && driver !== "local") return notFound(`create ${name}: error looking up volume plugin ${driver}: plugin ${quote(driver)} not found`);
  if (name.length === 1) return invalidParameter(`create ${name}: volume name is too short, names should be at least two alphanumeric characters`);
  if (name !== "" && !VOLUME_NAME.test(name)) {
    return invalidParameter(`create ${name}: ${quote(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`);
  }
  return notImplemented(`${shown} at ${mount.Target}: volumes are not implemented yet; use a bind of a host path or a tmpfs there`);
}

/** Refuses the volumes of Config.Volumes, usually from the image, that nothing else is mounted over. */
export function refuseAnonymousVolumes(volumes: Record<string, unknown> | null, points: readonly MountPoint[], tmpfs: Record<string, string> | null): void {
  for (const path of Object.keys(volumes ?? {})) {
    const destination = cleanPath(path);
    if (points.some((point) => point.destination === destination) || Object.hasOwn(tmpfs ?? {}, destination)) continue;
    throw notImplemented(`anonymous volume at ${path}: volumes are not implemented yet; mount a tmpfs (--tmpfs ${destination}) or a host path (-v /HOST/PATH:${destination}) over it`);
  }
}
