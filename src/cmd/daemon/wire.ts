/** Where drivers are chosen and the engine is put together. */
import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { attachRoutes } from "../../api/containers/attach.ts";
import { commitRoutes } from "../../api/containers/commit.ts";
import { fileRoutes } from "../../api/containers/files.ts";
import { checkpointRoutes } from "../../api/containers/checkpoints.ts";
import { lifecycleRoutes } from "../../api/containers/lifecycle.ts";
import { logRoutes } from "../../api/containers/logs.ts";
import { containerRoutes } from "../../api/containers/routes.ts";
import { statsRoutes } from "../../api/containers/stats.ts";
import { topRoutes } from "../../api/containers/top.ts";
import { execRoutes } from "../../api/exec/routes.ts";
import { imageRoutes } from "../../api/images/routes.ts";
import { networkPathRoute } from "../../api/networks/path.ts";
import { networkRoutes } from "../../api/networks/routes.ts";
import type { Route } from "../../api/route.ts";
import { checkRoute } from "../../api/system/check.ts";
import { diskUsageRoute } from "../../api/system/disk-usage.ts";
import { systemPruneRoute } from "../../api/system/prune.ts";
import { volumeCopyRoutes } from "../../api/volumes/copies.ts";
import { volumeRoutes } from "../../api/volumes/routes.ts";
import type { EngineEvent } from "../../core/events.ts";
import type { Logger } from "../../core/logger.ts";
import type { EgressDenial } from "../../core/name-service.ts";
import { defaultCapabilities } from "../../core/oci-defaults.ts";
import { createCdiDriver } from "../../drivers/devices-cdi/index.ts";
import * as contentLocal from "../../drivers/content-local/index.ts";
import { createEmbeddedDns } from "../../drivers/dns-embedded/client.ts";
import { createPathFinder } from "../../drivers/network-path/finder.ts";
import { jsonFileCompressor, jsonFileReader } from "../../drivers/log-json-file/index.ts";
import { createSocketPlugins } from "../../drivers/plugins-socket/index.ts";
import * as volumeLocal from "../../drivers/volume-local/index.ts";
import type { ContainersContext } from "../../engine/containers/context.ts";
import type { CheckService } from "../../engine/system/check.ts";
import { layerForStart } from "../../engine/containers/layer.ts";
import { ContainerLists } from "../../engine/containers/list.ts";
import { withFrozen } from "../../engine/containers/lifecycle/frozen.ts";
import { createLifecycle, type Lifecycle } from "../../engine/containers/lifecycle/tasks.ts";
import { recoverAll, startByPolicy } from "../../engine/containers/lifecycle/recover.ts";
import { isRunning } from "../../engine/containers/lifecycle/state.ts";
import { stopAll } from "../../engine/containers/lifecycle/stop.ts";
import { layersOf } from "../../engine/containers/mounts/images.ts";
import { restoreVolumes, volumesOf } from "../../engine/containers/mounts/volumes.ts";
import { discard, removeLeftovers } from "../../engine/containers/remove.ts";
import { releaseSpec, specForPlan, specForStart } from "../../engine/containers/spec/for-start.ts";
import { runtimeNamed } from "../../engine/containers/runtimes.ts";
import { execProcessOf } from "../../engine/containers/spec/process.ts";
import { containerMigrations, ContainerStore } from "../../engine/containers/store.ts";
import { mapsOf } from "../../engine/containers/user-namespace.ts";
import { EventBus } from "../../engine/events/bus.ts";
import { EventJournal } from "../../engine/events/journal.ts";
import { createImageService, imageMigrations, type ImageService } from "../../engine/images/service.ts";
import type { Networks } from "../../engine/networks/networks.ts";
import { networkMigrations } from "../../engine/networks/store.ts";
import { DiskUsageService } from "../../engine/system/disk-usage.ts";
import { SystemPrune } from "../../engine/system/prune.ts";
import { VolumeService } from "../../engine/volumes/service.ts";
import { volumeMigrations } from "../../engine/volumes/store.ts";
import { codeOf, messageOf } from "../../lib/errors.ts";
import { hostPlatform } from "../../lib/platform.ts";
import { rootOf } from "../../lib/user-maps.ts";
import { detectHost } from "../../oci/host.ts";
import { detectKernelSupport } from "../../oci/kernel-support.ts";
import { liveMounts, openFiles } from "../../oci/container-view.ts";
import { openRootfs } from "../../oci/rootfs-view.ts";
import { ShimRuntime } from "../../oci/runtime.ts";
import { createRegistries, type OpenRegistries } from "../../registry/registries.ts";
import { DatabaseDisk } from "../../sys/database-disk.ts";
import { openDatabase, settleDatabase } from "../../sys/database.ts";
import { readInRoot } from "../../sys/inroot.ts";
import { SharedMemory } from "../../sys/shared-memory.ts";
import { SubpathBinds } from "../../sys/subpath-binds.ts";
import { Trash } from "../../sys/trash.ts";
import { relayProgram } from "./relay.ts";
import { HOST_RESOLV_CONF, openNetworks, repairEvent } from "../networks.ts";
import type { DaemonConfig } from "./config.ts";
import { build } from "./build-info.ts";
import { cgroupUnits, realtimeOf } from "./cgroup-units.ts";
import { checkService } from "./check.ts";
import { openAppArmor } from "./apparmor.ts";
import { containerSettings } from "./container-settings.ts";
import { embeddedImages } from "./embedded-images.ts";
import { imageUsers } from "./image-users.ts";
import type { Engine } from "./engine.ts";
import { connectInside } from "./connect-inside.ts";
import { startNameServerProcess } from "./name-server.ts";
import { lockMachine } from "./root-lock.ts";
import { logForwarder } from "./log-forwarder.ts";
import { specHost } from "./spec-host.ts";
import { openSnapshotter } from "./storage.ts";
import { userMapsFor } from "./user-remap.ts";
import { volumePlugins } from "./volume-plugins.ts";

/** Whoever started the daemon waits for its first answer: what only makes starts faster comes after it. */
const FIRST_REQUEST_MILLISECONDS = 30;

/** Opens the state, finds what runs, and gives the API its routes. */
export async function openEngine(config: DaemonConfig, log: Logger, probed: (succeeded: boolean) => void): Promise<Engine> {
  const warn = (message: string): void => log.warn(message);
  const userMaps = userMapsFor(config.containers.usersRemap, { log });
  const users = userMaps ? { userMaps } : {};
  const events = new EventBus(warn, openJournal(config, warn));
  const databasePath = join(config.dataRoot, "state.db");
  const database = openDatabase(databasePath, [...containerMigrations, ...imageMigrations, ...networkMigrations, ...volumeMigrations]);
  await nextTurn();
  const store = new ContainerStore(database);
  const containersRoot = join(config.dataRoot, "containers");
  const snapshotter = await openSnapshotter(config, log, userMaps);
  await nextTurn();
  const registries = openRegistries(config.registries);
  const images = createImageService({
    database,
    content: contentLocal.create(join(config.dataRoot, "content")),
    snapshotter,
    events,
    host: hostPlatform(),
    registries,
    concurrentDownloads: config.registries.concurrentDownloads,
    concurrentUploads: config.registries.concurrentUploads,
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    embedded: embeddedImages(),
    ...imageUsers(store),
  });
  const host = detectHost();
  await nextTurn();
  const units = await cgroupUnits(config, host.cgroups, warn);
  const runtime = new ShimRuntime({ execRoot: config.execRoot, host, warn, ...(units && { units }) });
  const names = createEmbeddedDns({ socketPath: join(config.execRoot, "dns.sock"), start: (socketPath) => startNameServerProcess({ socketPath, resolvConf: HOST_RESOLV_CONF }), firewall: config.network.firewall !== "none", denied: (denial) => events.emit(denialEvent(denial)), repaired: (what) => events.emit(repairEvent(config.dataRoot, what)), warn });
  const plugins = createSocketPlugins();
  const networks = await openNetworks({
    plugins,
    names,
    database,
    dataRoot: config.dataRoot,
    lock: lockMachine,
    flags: config.network,
    events,
    findContainer: (ref) => store.find(ref),
    saveContainer: (record) => store.save(record),
    containerFolder: (id) => join(containersRoot, id),
    mapsOf: (record) => mapsOf(users, record),
    userMaps,
    relay: relayProgram(join(config.execRoot, "relay.sock")),
    keeper: {
      put: (name, fd) => runtime.launcher.put(name, [fd]),
      get: async (name) => (await runtime.launcher.get(name))?.[0],
      drop: (name) => runtime.launcher.drop(name),
    },
    warn,
  });
  const volumes = new VolumeService({ database, drivers: [volumeLocal.create(join(config.dataRoot, "volumes"), userMaps && rootOf(userMaps))], plugins: volumePlugins(plugins), events, warn });
  for (const record of store.list()) for (const { name } of volumesOf(record)) volumes.hold(name, record.id);
  const subpaths = new SubpathBinds(join(config.dataRoot, "volume-parts"));
  const kernel = detectKernelSupport(host);
  const { cdiSpecDirs } = config.containers;
  const devices = cdiSpecDirs.length > 0 ? createCdiDriver(cdiSpecDirs) : undefined;
  const sharedMemory = new SharedMemory(join(config.dataRoot, "shm"));
  const appArmor = openAppArmor(kernel.appArmor, warn);
  const settings = containerSettings(config, { hostname: hostname(), cgroupVersion: kernel.cgroupVersion, userMaps, appArmorProfile: appArmor?.profile });
  const giveRealtime = realtimeOf(config.containers, host.cgroups);
  const forwarder = logForwarder(warn);
  const disk = new DatabaseDisk(database, databasePath, ["volumes", `layers/${snapshotter.driver}`].map((name) => join(config.dataRoot, name)).filter((folder) => existsSync(folder)));
  const discarded = new Trash(join(containersRoot, "trash"));
  const lifecycle: Lifecycle = createLifecycle({
    store,
    runtime,
    events,
    logs: jsonFileReader,
    compressor: jsonFileCompressor(warn),
    forwarder,
    containersRoot,
    discard: (path) => discarded.discard(path),
    networks: {
      ...networks,
      disconnect: async (record) => {
        await Promise.all([releaseSpec(containers, record), networks.disconnect(record)]);
      },
    },
    rootfs: (record) => layerForStart(images.layers, record, users),
    buildSpec: (record, sandbox) => {
      appArmor?.ensure();
      giveRealtime?.(record.hostConfig.CgroupParent || settings.cgroupParent);
      return specForStart(containers, record, sandbox);
    },
    planSpec: (record, sandbox) => specForPlan(containers, record, sandbox),
    buildExecProcess: (record, exec) => execProcessOf(record, exec, settings),
    remove: (record) => discard(containers, record, { volumes: record.hostConfig.AutoRemove || (record.state.status === "removing" && record.state.volumes === true) }),
    runtimeOf: (record) => runtimeNamed(settings.runtimes, record.hostConfig.Runtime),
    readFile: (record, path, maxBytes) => (record.state.status === "running" || record.state.status === "paused" ? readInRoot(`/proc/${record.state.pid}/root`, path, maxBytes) : Promise.resolve(undefined)),
    connectInside: (record, to) => connectInside(record.state, to),
    probed,
    logBytes: config.containers.logBytes,
    defaultStopTimeout: config.containers.stopTimeoutSeconds,
    warn,
  });
  const containers: ContainersContext = {
    store,
    events,
    images,
    layers: images.layers,
    tasks: lifecycle.tasks,
    sharedMemory,
    volumes,
    subpaths,
    openRootfs,
    openFiles,
    liveMounts,
    kernel,
    devices,
    host: specHost(host, config.containers),
    settings,
    findNetwork: (ref) => networkOf(networks, ref),
    renamed: (record) => networks.renamed(record),
    changePorts: (record, change) => networks.changePorts(record, change),
    relinked: (record, gone) => networks.relinked(record, gone),
    files: ({ id }) => {
      const file = (name: string): string => join(containersRoot, id, name);
      return { hosts: file("hosts"), hostname: file("hostname"), resolvConf: file("resolv.conf"), log: file(`${id}-json.log`) };
    },
    warn,
  };
  await recoverAll(lifecycle.context, { keepRunning: config.liveRestore });
  const hasTask = (id: string): boolean => lifecycle.context.live(id).task !== undefined;
  sharedMemory.sweep(hasTask);
  subpaths.sweep(hasTask);
  for (const record of store.list()) if (hasTask(record.id)) restoreVolumes(containers, record);
  await volumes.recover((id) => store.get(id) !== undefined);
  await networks.collect(hasTask);
  await images.recover();
  // Before the API answers: a container in the making has a layer before it is known.
  await images.collect({ containers: new Set([...store.list()].flatMap(layersOf)) });
  return {
    routes: routesOf({ containers, lifecycle, images, networks, store, check: checkService({ dataRoot: config.dataRoot, images, store, volumes, discard: (path) => discarded.discard(path) }), experimental: config.experimental }),
    events,
    registries,
    remapsUsers: userMaps !== undefined,
    setFirewall: networks.setFirewall,
    reconfigure({ containers: { runtimes, shmSize }, registries: { hosts, concurrentDownloads, concurrentUploads, downloadAttempts } }) {
      registries.configure(hosts, downloadAttempts);
      images.limitTransfers({ downloads: concurrentDownloads, uploads: concurrentUploads });
      Object.assign(settings, { runtimes, shmSize });
    },
    requireContainer: (ref) => void store.find(ref),
    conditions: () => ({ containers: countByState(store), images: images.count(), storage: { driver: snapshotter.driver, status: snapshotter.status() } }),
    drivers: () => ({ network: networks.drivers(), volume: volumes.drivers }),
    discoverDevices: async () => (devices ? { driver: devices.id, ...(await devices.list()) } : undefined),
    isIdle: () => ![...store.list()].some(isRunning),
    async afterStart() {
      await removeLeftovers(containers);
      await lifecycle.sweep();
      await delay(FIRST_REQUEST_MILLISECONDS);
      await runtime.prepare(containers.host.seccomp.builtin(defaultCapabilities)).catch((error: unknown) => warn(messageOf(error)));
      await startByPolicy(lifecycle.context);
      await networks.prepared();
    },
    rest: () => settleDatabase(database),
    settled: () => disk.settled(),
    stopContainers: () => stopAll(lifecycle.context),
    async close() {
      await forwarder.close();
      await networks.close();
      names.close();
      await runtime.close();
      await discarded.settled();
      await snapshotter.settled();
      await snapshotter.close?.();
      await volumes.settled();
      registries.close();
      events.close();
      database.close();
      disk[Symbol.dispose]();
    },
  };
}

function openJournal({ dataRoot, events }: DaemonConfig, warn: (message: string) => void): EventJournal | undefined {
  return events.maxBytes > 0 && events.maxAgeMilliseconds > 0 ? new EventJournal({ folder: join(dataRoot, "events"), ...events, warn }) : undefined;
}

function openRegistries({ hosts, proxies, downloadAttempts }: DaemonConfig["registries"]): OpenRegistries {
  return createRegistries({ hosts, proxies, userAgent: `docker/${build.dockerVersion}`, mostDownloadAttempts: downloadAttempts });
}

function denialEvent({ owner, target, protocol, port }: EgressDenial): EngineEvent {
  const what = { target, ...(protocol === undefined ? {} : { protocol }), ...(port === undefined ? {} : { port: String(port) }) };
  return { type: "network", action: "deny", actor: { id: owner.networkId, attributes: { container: owner.containerId, name: owner.networkName, type: "bridge", ...what } } };
}

function networkOf(networks: Networks, ref: string): ReturnType<ContainersContext["findNetwork"]> {
  try {
    const { id, name, subnets } = networks.find(ref);
    return { id, name, subnets };
  } catch (error) {
    if (codeOf(error) === "not-found") return undefined;
    throw error;
  }
}

interface Parts {
  containers: ContainersContext;
  lifecycle: Lifecycle;
  images: ImageService;
  networks: Networks;
  store: ContainerStore;
  check: CheckService;
  experimental: boolean;
}

function routesOf({ containers, lifecycle, images, networks, store, check, experimental }: Parts): Route[] {
  const { context, execs } = lifecycle;
  return [
    // Before the removal of containers, whose names span slashes.
    ...(experimental ? checkpointRoutes(context) : []),
    ...containerRoutes(containers),
    ...fileRoutes(containers),
    ...commitRoutes(containers, context),
    ...lifecycleRoutes(context, { experimental }),
    ...attachRoutes(context),
    ...logRoutes(context),
    ...topRoutes(context),
    ...statsRoutes(context),
    ...execRoutes(execs),
    ...imageRoutes(images),
    checkRoute(check),
    systemPruneRoute(new SystemPrune({ containers, networks, volumes: containers.volumes, images, events: containers.events, warn: containers.warn })),
    diskUsageRoute(new DiskUsageService(images, new ContainerLists(containers), containers.volumes)),
    ...volumeCopyRoutes({ volumes: containers.volumes, frozen: (ids, work) => withFrozen(context, ids, work), isRunning: (id) => context.live(id).task !== undefined }),
    ...volumeRoutes(containers),
    ...networkRoutes({ networks, events: containers.events, store }),
    networkPathRoute({ networks, store, finder: createPathFinder() }),
  ];
}

function countByState(store: ContainerStore): { running: number; paused: number; stopped: number } {
  const counts = { running: 0, paused: 0, stopped: 0 };
  for (const { state } of store.list()) {
    if (state.status === "paused") counts.paused++;
    else if (state.status === "running" || state.status === "restarting") counts.running++;
    else counts.stopped++;
  }
  return counts;
}
