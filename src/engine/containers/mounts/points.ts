/** The mount points of a container from everything that asks for one: other containers, binds, mounts. */
import type { HostConfig, Mount } from "../../../core/container-config.ts";
import type { ImageForRun } from "../../../core/image.ts";
import type { ContainerRecord, MountPoint } from "../../../core/container.ts";
import { codeOf, invalidParameter, messageOf, type GantryError } from "../../../lib/errors.ts";
import { quote } from "../../../lib/strconv.ts";
import { ANONYMOUS } from "../../volumes/volume.ts";
import type { VolumeRequest } from "../../volumes/service.ts";
import { cleanPath } from "../validate/config.ts";
import { parseBind, parseVolumesFrom, tmpfsOptions } from "./spec.ts";

export interface MountSources {
  findContainer(ref: string): ContainerRecord;
  /** Throws Docker's refusals of a volume that cannot be. */
  checkVolume(request: VolumeRequest): Promise<void>;
  /** Throws Docker's not-found. */
  resolveImage(ref: string): Promise<ImageForRun>;
  /** Folders of the engine: what is bound from or above them must not keep the engine's own mounts busy. */
  dataRoot: string;
  /** API versions below 1.44: read-only binds do not cover what is mounted below them. */
  readOnlyNonRecursive: boolean;
}

/** A volume to find or to make for a mount point that asks for it. */
export interface WantedVolume extends VolumeRequest {
  /** Fill it, when it is empty, with what the image has at the destination. */
  copy: boolean;
  /** Of the image or the container's configuration: nothing but a folder may be there. */
  implied: boolean;
}

export interface MountPlan {
  /** In the order of destinations. Those in `volumes` have no name and source yet, unless the user gave a name. */
  points: MountPoint[];
  volumes: Map<MountPoint, WantedVolume>;
  /** The images of those that show one. */
  images: Map<MountPoint, ImageForRun>;
}

/** Decides everything and makes nothing. `implied`: the destinations of Config.Volumes, for which nothing else asks. Throws Docker's errors. */
export async function resolveMountPoints(hostConfig: HostConfig, implied: Record<string, unknown> | null, sources: MountSources): Promise<MountPlan> {
  const points = new Map<string, MountPoint>();
  const volumes = new Map<MountPoint, WantedVolume>();
  const images = new Map<MountPoint, ImageForRun>();
  const context = { ...sources, volumes, images };
  for (const spec of hostConfig.VolumesFrom ?? []) for (const point of await pointsFrom(spec, context)) points.set(point.destination, point);
  const taken = new Set<string>();
  for (const bind of hostConfig.Binds ?? []) {
    const { mount, mode } = parseBind(bind, hostConfig.VolumeDriver);
    const point = await pointOf(mount, context);
    point.mode = mode || point.mode;
    if (taken.has(point.destination) || Object.hasOwn(hostConfig.Tmpfs ?? {}, point.destination)) throw duplicate(point.destination);
    if (point.bind) point.bind.createSource = true;
    taken.add(point.destination);
    points.set(point.destination, point);
  }
  for (const mount of hostConfig.Mounts ?? []) {
    const point = await pointOf(mount, context);
    if (taken.has(point.destination)) throw duplicate(mount.Target);
    taken.add(point.destination);
    points.set(point.destination, point);
  }
  for (const point of await impliedPoints(hostConfig, implied, context)) if (!points.has(point.destination)) points.set(point.destination, point);
  const ordered = [...points.values()].sort((a, b) => (a.destination < b.destination ? -1 : 1));
  const used = <T>(all: ReadonlyMap<MountPoint, T>): Map<MountPoint, T> => new Map([...all].filter(([point]) => points.get(point.destination) === point));
  return { points: ordered, volumes: used(volumes), images: used(images) };
}

type ResolveContext = MountSources & Pick<MountPlan, "volumes" | "images">;

async function impliedPoints(hostConfig: HostConfig, implied: Record<string, unknown> | null, { checkVolume, volumes }: ResolveContext): Promise<MountPoint[]> {
  const destinations = Object.keys(implied ?? {}).map(cleanPath).filter((destination) => !Object.hasOwn(hostConfig.Tmpfs ?? {}, destination));
  const request = { name: "", driver: hostConfig.VolumeDriver, labels: null, options: null };
  if (destinations.length > 0) await checkVolume(request);
  return destinations.map((destination) => {
    const point: MountPoint = { type: "volume", destination, source: "", mode: "", rw: true, propagation: "", volume: { anonymous: true, subpath: "" } };
    volumes.set(point, { ...request, copy: true, implied: true });
    return point;
  });
}

const duplicate = (target: string): GantryError => invalidParameter(`Duplicate mount point: ${target}`);

async function pointsFrom(spec: string, sources: ResolveContext): Promise<MountPoint[]> {
  const { container, readonly } = parseVolumesFrom(spec);
  let other: ContainerRecord;
  try {
    other = sources.findContainer(container);
  } catch (error) {
    throw codeOf(error) === "not-found" ? invalidParameter(messageOf(error), error) : error;
  }
  const points: MountPoint[] = other.mounts.map((point) => ({ ...structuredClone(point), mode: "", rw: point.rw && !readonly }));
  for (const point of points) if (point.image) sources.images.set(point, await sources.resolveImage(point.image.id));
  return points;
}

async function pointOf(mount: Mount, sources: ResolveContext): Promise<MountPoint> {
  const common = { destination: cleanPath(mount.Target), mode: "", rw: !mount.ReadOnly, source: "", propagation: "" };
  switch (mount.Type) {
    case "bind":
      return { ...common, type: "bind", source: cleanPath(mount.Source), propagation: propagationOf(mount, sources.dataRoot), bind: bindOptions(mount, sources) };
    case "tmpfs":
      return { ...common, type: "tmpfs", options: tmpfsOptions(mount) };
    case "volume":
      return volumePoint(mount, common, sources);
    default:
      return imagePoint(mount, common, sources);
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

async function imagePoint(mount: Mount, common: Omit<MountPoint, "type">, { images, resolveImage }: ResolveContext): Promise<MountPoint> {
  const image = await resolveImage(mount.Source);
  const point: MountPoint = { ...common, type: "image", name: mount.Source, source: image.id, rw: false, propagation: "rprivate", image: { id: image.id, layer: "", subpath: mount.ImageOptions?.Subpath ?? "" } };
  images.set(point, image);
  return point;
}

async function volumePoint(mount: Mount, common: Omit<MountPoint, "type">, { checkVolume, volumes }: ResolveContext): Promise<MountPoint> {
  const { Source: name, VolumeOptions: options } = mount;
  if (name === "" && options?.Labels) options.Labels[ANONYMOUS] = "";
  const request = { name, driver: options?.DriverConfig?.Name ?? "", labels: options?.Labels ?? null, options: options?.DriverConfig?.Options ?? null };
  await checkVolume(request);
  const point: MountPoint = { ...common, type: "volume", ...(name !== "" && { name }), mode: "z", volume: { anonymous: name === "", subpath: options?.Subpath ?? "" } };
  volumes.set(point, { ...request, copy: !(options?.NoCopy ?? false), implied: false });
  return point;
}
