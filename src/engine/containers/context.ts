/** What creating, showing and removing containers needs from the rest of the engine. */
import type { HostConfig } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import type { EventSink } from "../../core/events.ts";
import type { ImageForRun } from "../../core/image.ts";
import type { DeviceDriver } from "../../core/devices.ts";
import type { KernelSupport } from "../../core/kernel-support.ts";
import type { LiveMounts, OpenFiles } from "../../core/container-files.ts";
import type { OpenRootfs } from "../../core/rootfs.ts";
import type { RootfsMount } from "../../core/runtime.ts";
import type { SnapshotChange } from "../../core/snapshotter.ts";
import type { Digest } from "../../lib/digest.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import type { OciResources } from "../../lib/oci-spec.ts";
import type { Platform } from "../../lib/platform.ts";
import type { Owner } from "../../lib/user-maps.ts";
import type { CommitRequest } from "../images/commit.ts";
import type { LivePorts, PublishedChange } from "../networks/publishing.ts";
import type { VolumeService } from "../volumes/service.ts";
import type { SpecHost, SpecSettings } from "./spec/host.ts";
import type { Runtimes } from "./runtimes.ts";
import type { ContainerStore } from "./store.ts";

export interface ContainersContext {
  store: ContainerStore;
  events: EventSink;
  images: ContainerImages;
  layers: ContainerLayers;
  tasks: ContainerTasks;
  sharedMemory: SharedMemoryPort;
  volumes: VolumeService;
  subpaths: SubpathPort;
  openRootfs: OpenRootfs;
  openFiles: OpenFiles;
  liveMounts: LiveMounts;
  kernel: KernelSupport;
  /** Gives devices by name (CDI); undefined where that is switched off. */
  devices: DeviceDriver | undefined;
  host: SpecHost;
  settings: ContainerSettings;
  /** A network by name or id; undefined when there is none. */
  findNetwork(ref: string): { id: string; name: string; subnets: readonly IpPrefix[] } | undefined;
  /** Others find the container by its new name. */
  renamed(record: ContainerRecord): Promise<void>;
  /** Other published ports for a running container. */
  changePorts(record: ContainerRecord, change: PublishedChange): Promise<LivePorts>;
  /** It has other legacy links; these were the addresses of one that it lost. */
  relinked(record: ContainerRecord, gone: readonly IpPrefix[]): Promise<void>;
  /** Where the engine keeps a container's own files. */
  files(record: ContainerRecord): ContainerFiles;
  warn(message: string): void;
}

export interface ContainerFiles {
  hosts: string;
  hostname: string;
  resolvConf: string;
  log: string;
}

export interface ContainerSettings extends SpecSettings {
  runtimes: Runtimes;
  ipcMode: string;
  cgroupnsMode: string;
  shmSize: number;
  logConfig: HostConfig["LogConfig"];
  /** This machine's name, for containers in its network namespace. */
  hostname: string;
  hostPlatform: Platform;
}

export interface ContainerImages {
  /** The image of a reference. Throws Docker's "No such image", also when the image is not there for the platform. */
  resolve(ref: string, platform?: Platform): ImageForRun | Promise<ImageForRun>;
  /** The id of the image that a reference means now; undefined when there is none. */
  idOf(ref: string): string | undefined;
}

/** HostConfig.StorageOpt. */
type StorageOptions = Readonly<Record<string, string>>;

export interface OpenLayer extends AsyncDisposable {
  mounts: RootfsMount[];
}

/** Containers' writable layers. */
export interface ContainerLayers {
  /** The storage driver's name. */
  readonly driver: string;
  /** Without an image the root file system is empty. */
  create(containerId: string, image: ImageForRun | undefined, options?: StorageOptions): Promise<void>;
  /** As the snapshotter's. */
  limitFor(options: StorageOptions): number | undefined;
  limitOf(containerId: string): number | undefined;
  /** What makes the root file system, without mounting it. Once disposed, it is there only for who has mounted it. */
  open(containerId: string): Promise<OpenLayer>;
  /** The same of a container that is not made. */
  planned(containerId: string, image: ImageForRun | undefined): Promise<RootfsMount[]>;
  /** Idempotent. Its files go in the background. */
  remove(containerId: string): Promise<void>;
  /** What was removed so far takes no room any more. */
  settled(): Promise<void>;
  /** What the writable layer changes, sorted by path. */
  changes(containerId: string): Promise<SnapshotChange[]>;
  /** An image of the container's own and what its writable layer changes; its id. */
  commit(request: CommitRequest): Promise<Digest>;
  /** Bytes of the writable layer, and of it with all below. */
  size(record: ContainerRecord): Promise<{ writable: number; total: number }>;
}

/** /dev/shm of containers that share it. */
export interface SharedMemoryPort {
  pathOf(id: string): string;
  /** A new, empty one. */
  make(id: string, bytes: number, owner?: Owner): string;
  /** Idempotent. Containers that use it keep it. */
  release(id: string): void;
}

/** Places where images appear, and parts of volumes and images, safe from what runs in containers that have the whole. */
export interface SubpathPort {
  /** A place where `subpath` of `folder` appears, links resolved inside the folder. Throws the errno's error. */
  make(id: string, folder: string, subpath: string): string;
  /** A new folder for what `fill` mounts there. */
  place(id: string, fill: (place: string) => void): string;
  /** Idempotent. Containers that use it keep it. */
  release(id: string): void;
}

/** What the lifecycle does for removal and update. */
export interface ContainerTasks {
  /** Kills a running container and waits until it has ended, or cancels its restart. The caller does not hold its lock. */
  kill(record: ContainerRecord): Promise<void>;
  /** Applies limits to a running or paused container. */
  update(record: ContainerRecord, resources: OciResources): Promise<void>;
  /** The container was removed: forget its live state, tell who waits for it, delete its folder and log. */
  forget(record: ContainerRecord): Promise<void>;
  /** Resolves when nothing of the container's last run is left, and its layer can be mounted again. */
  released(record: ContainerRecord): Promise<void>;
  /** Gives a running container's log the options of the record as it will be. */
  changeLog(record: ContainerRecord, changed: ContainerRecord): Promise<void>;
  /** An attached client has seen the end of the output: resolves when the record has the end of the run, too. */
  ending(id: string): Promise<unknown> | undefined;
  execIds(id: string): string[];
  /** What a start would do, for people to read. */
  explain(record: ContainerRecord, rootfs: RootfsMount[]): Promise<string>;
}
