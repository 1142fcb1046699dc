/** Containers in memory with a machine that is made up, for tests. */
import { openDatabase } from "../../../sys/database.ts";
import { emptyConfig, emptyHostConfig } from "../../../core/container-config.ts";
import type { ContainerConfig, HostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { EngineEvent } from "../../../core/events.ts";
import type { ImageForRun } from "../../../core/image.ts";
import type { KernelSupport } from "../../../core/kernel-support.ts";
import { invalidParameter, notFound } from "../../../lib/errors.ts";
import { requirePrefix } from "../../../lib/ip.ts";
import type { ImageSettings } from "../../../lib/oci-image.ts";
import type { ContainersContext } from "../context.ts";
import type { SpecHost } from "../spec/host.ts";
import type { VolumeDriver } from "../../../core/volume.ts";
import { VolumeService } from "../../volumes/service.ts";
import { volumeMigrations } from "../../volumes/store.ts";
import { containerMigrations, ContainerStore } from "../store.ts";

export const fullKernel: KernelSupport = {
  cpus: 4,
  cgroupVersion: 1,
  memoryLimit: true,
  swapLimit: true,
  memoryReservation: true,
  memorySwappiness: true,
  oomKillDisable: true,
  cpuShares: true,
  cpuCfs: true,
  cpuRealtime: true,
  cpuset: true,
  cpusetCpus: "0-3",
  cpusetMems: "0",
  pidsLimit: true,
  blkioWeight: true,
  blkioWeightDevice: true,
  blkioReadBps: true,
  blkioWriteBps: true,
  blkioReadIops: true,
  blkioWriteIops: true,
  cgroupNamespaces: true,
  ipv4Forwarding: true,
  appArmor: false,
  seLinux: false,
  thermalPaths: [],
};

export const fakeHost: SpecHost = {
  devicesAt: (path) => {
    if (path === "/dev/null") return [{ path, type: "c", major: 1, minor: 3, fileMode: 0o666 }];
    if (path === "/dev/folder") return [{ path: "/dev/folder/a", type: "b", major: 8, minor: 1 }];
    throw new Error("no such file or directory");
  },
  allDevices: () => [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }],
  mountOf: (path) => ({ mountpoint: "/", isShared: path.startsWith("/shared"), isSlave: path.startsWith("/slave") }),
  isMountpoint: (path) => path === "/dev/mqueue",
  hasSysctl: () => true,
  userNamespaceOf: (pid) => (pid === "self" ? "user:[1]" : `user:[${pid}]`),
  seccomp: { builtin: () => ({ defaultAction: "builtin" }), parse: (text) => ({ defaultAction: text }) },
  initPath: "/opt/init",
};

export interface FakeContext extends ContainersContext {
  emitted: EngineEvent[];
  images: ContainersContext["images"] & { known: Map<string, ImageForRun> };
  killed: string[];
  removedLayers: string[];
  /** Mounts that came into and went from running containers. */
  live: string[];
  /** "/path/in/the/image /folder/of/the/volume". */
  filled: string[];
}

/** Has the image "image" with `settings`. */
export function fakeContext(settings: ImageSettings = { Cmd: ["sh"] }, kernel: KernelSupport = fullKernel): FakeContext {
  const database = openDatabase(":memory:", [...containerMigrations, ...volumeMigrations]);
  const store = new ContainerStore(database);
  const emitted: EngineEvent[] = [];
  const known = new Map([["image", imageOf("1", settings)]]);
  const context: FakeContext = {
    emitted,
    killed: [],
    removedLayers: [],
    live: [],
    filled: [],
    store,
    events: { emit: (event) => emitted.push(event) },
    images: {
      known,
      resolve: (ref) => {
        const image = known.get(ref);
        if (!image) throw notFound(`No such image: ${ref}:latest`);
        return image;
      },
      idOf: (ref) => known.get(ref)?.id,
    },
    layers: {
      driver: "fake",
      create: async () => {},
      limitFor: () => undefined,
      limitOf: () => undefined,
      open: async () => ({ mounts: [], [Symbol.asyncDispose]: async () => undefined }),
      planned: async () => [],
      remove: async (id) => void context.removedLayers.push(id),
      settled: async () => {},
      changes: async () => [],
      commit: async () => Promise.reject(new Error("a container that is made up has no layer")),
      size: async () => ({ writable: 10, total: 1010 }),
    },
    tasks: {
      kill: async (record) => {
        context.killed.push(record.id);
        record.state = { status: "exited", exitCode: 137, oomKilled: false, error: "", startedAt: 1n, finishedAt: 2n };
      },
      update: async () => {},
      forget: async () => {},
      changeLog: async () => {},
    released: async () => {},
      ending: () => undefined,
      execIds: () => [],
      explain: async ({ name }) => `plan of ${name}`,
    },
    sharedMemory: { pathOf: (id) => `/run/shm/${id}`, make: (id) => `/run/shm/${id}`, release: () => {} },
    volumes: new VolumeService({ database, drivers: [fakeVolumeDriver()], events: { emit: (event) => emitted.push(event) }, warn: () => {} }),
    subpaths: { place: (id) => `/parts/${id}/image`, make: (id, folder, subpath) => `/parts/${id}${folder}/${subpath}`, release: () => {} },
    openFiles: async () => Promise.reject(new Error("a container that is made up has no files")),
    liveMounts: { add: async (_, { destination }) => void context.live.push(`+${destination}`), remove: async (_, destination) => (context.live.push(`-${destination}`), true), removeDevice: async (_, path) => (context.live.push(`-device ${path}`), true) },
    openRootfs: () => ({ kindOf: (path) => (path.startsWith("/image-file") ? "other" : path.startsWith("/image") ? "folder" : undefined), copyOut: async (path, { folder }) => (context.filled.push(`${path} ${folder}`), true), attach: () => {}, [Symbol.dispose]: () => {} }),
    kernel,
    devices: undefined,
    host: fakeHost,
    settings: {
      dataRoot: "/var/lib/fake",
      runtimes: { defaultName: "gantry", programs: new Map([["gantry", undefined], ["runc", undefined]]) },
      ipcMode: "private",
      cgroupnsMode: "private",
      shmSize: 64 << 20,
      logConfig: { Type: "json-file", Config: {} },
      hostname: "machine",
      hostPlatform: { os: "linux", architecture: "amd64" },
      cgroupParent: "/gantry",
      cgroupDriver: "cgroupfs",
      init: false,
      ulimits: {},
      noNewPrivileges: false,
    pidsLimit: 0,
    },
    renamed: () => Promise.resolve(),
    changePorts: () => Promise.reject(new Error("not needed")),
    relinked: () => Promise.resolve(),
    findNetwork: (ref) => (ref === "bridge" ? { id: "b".repeat(64), name: "bridge", subnets: [requirePrefix("172.17.0.1/16", "subnet")] } : undefined),
    files: ({ id }) => ({ hosts: `/c/${id}/hosts`, hostname: `/c/${id}/hostname`, resolvConf: `/c/${id}/resolv.conf`, log: `/c/${id}/log` }),
    warn: () => {},
  };
  return context;
}

export function imageOf(digit: string, settings: ImageSettings): ImageForRun {
  const id = `sha256:${digit.repeat(64)}` as const;
  return { id, ref: "image:latest", platform: { os: "linux", architecture: "amd64" }, config: settings, chainId: undefined, size: 1000, manifest: { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: id, size: 100 } };
}

/** Volumes that are only names. */
export function fakeVolumeDriver(): VolumeDriver {
  const names = new Set<string>();
  const references = new Set<string>();
  const path = (name: string): string => `/volumes/${name}`;
  return {
    id: "local",
    capabilities: { scope: "local" },
    validate: ({ name }) => {
      if (!/^[a-z0-9][a-z0-9-]+$/.test(name)) throw invalidParameter(`${name} is no name`);
    },
    create: async ({ name }) => void names.add(name),
    remove: async ({ name }) => void names.delete(name),
    has: async (name) => names.has(name),
    list: async () => [...names],
    path,
    mount: async ({ name, options }, reference) => {
      if (options["type"] === "broken") throw new Error("no such device");
      references.add(`${name} ${reference}`);
      return path(name);
    },
    unmount: async ({ name }, reference) => references.delete(`${name} ${reference}`),
    restore: ({ name }, reference) => void references.add(`${name} ${reference}`),
    sweep: async () => {},
    usage: async () => 7,
    settled: async () => {},
  };
}

/** What a request asks for, with Docker's zero values for the rest. */
export const request = (config: Partial<ContainerConfig> = {}, hostConfig: Partial<HostConfig> = {}) => ({
  name: "",
  config: { ...emptyConfig(), Image: "image", ...config },
  hostConfig: { ...emptyHostConfig(), NetworkMode: "bridge", ...hostConfig },
  networkingConfig: { EndpointsConfig: null },
});

export function running(record: ContainerRecord, startedAt: bigint, pid = 42): ContainerRecord {
  record.state = { status: "running", pid, startedAt };
  return record;
}
