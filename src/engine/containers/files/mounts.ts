/** What a container's mount points show of the machine, for whoever looks at its files from outside. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import type { FilesMount } from "../../../core/container-files.ts";
import type { ContainerRecord, MountPoint } from "../../../core/container.ts";
import type { ContainersContext } from "../context.ts";
import { imagesOf, mountImages } from "../mounts/images.ts";
import { usesPlaces } from "../mounts/subpaths.ts";
import { volumesOf } from "../mounts/volumes.ts";

/** Volumes are mounted only while `open` runs: what it opened stays. */
export async function withMounts<T>(context: ContainersContext, record: ContainerRecord, open: (mounts: FilesMount[]) => Promise<T>): Promise<T> {
  const { volumes, subpaths } = context;
  const borrower = `${record.id}-files-${randomUUID()}`;
  const points = volumesOf(record).filter((point) => isVisible(record, point));
  const images = imagesOf(record).length > 0;
  const sources = new Map<string, string>();
  const taken: typeof points = [];
  try {
    for (const point of points) {
      const folder = await volumes.mount(point.name, `${borrower}:${point.destination}`);
      taken.push(point);
      emitVolume(context, record, point, "mount");
      sources.set(point.destination, point.volume.subpath === "" ? folder : subpaths.make(borrower, folder, point.volume.subpath));
    }
    if (images) for (const [destination, source] of await mountImages(context, record, borrower)) sources.set(destination, source);
    return await open(mountsOf(context, record, sources));
  } finally {
    if (usesPlaces(record)) subpaths.release(borrower);
    for (const point of taken) if (await volumes.unmount(point.name, `${borrower}:${point.destination}`)) emitVolume(context, record, point, "unmount");
  }
}

function emitVolume({ events }: ContainersContext, record: ContainerRecord, point: MountPoint & { name: string }, action: "mount" | "unmount"): void {
  const further = action === "mount" ? { destination: point.destination, "read/write": String(point.rw), propagation: point.propagation } : {};
  events.emit({ type: "volume", action, actor: { id: point.name, attributes: { driver: point.driver ?? "", container: record.id, ...further } } });
}

/** As at a start: a tmpfs of the same place wins. */
const isVisible = ({ hostConfig }: ContainerRecord, { type, destination }: MountPoint): boolean => type !== "tmpfs" && !Object.hasOwn(hostConfig.Tmpfs ?? {}, destination);

const depth = ({ destination }: FilesMount): number => destination.split("/").length;

function mountsOf(context: ContainersContext, record: ContainerRecord, sources: ReadonlyMap<string, string>): FilesMount[] {
  const asked = record.mounts
    .filter((point) => isVisible(record, point))
    .map((point) => ({ source: sources.get(point.destination) ?? point.source, destination: point.destination, recursive: point.bind?.nonRecursive !== true, readOnly: !point.rw }));
  return [...asked, ...ownFiles(context, record)].sort((a, b) => depth(a) - depth(b));
}

/** /etc/hosts and its like, once the container was started. */
function ownFiles(context: ContainersContext, record: ContainerRecord): FilesMount[] {
  const files = context.files(record);
  const own = [
    ["/etc/resolv.conf", files.resolvConf],
    ["/etc/hostname", files.hostname],
    ["/etc/hosts", files.hosts],
  ] as const;
  return own
    .filter(([destination, source]) => !record.mounts.some((point) => point.destination === destination) && existsSync(source))
    .map(([destination, source]) => ({ source, destination, recursive: false, readOnly: record.hostConfig.ReadonlyRootfs }));
}
