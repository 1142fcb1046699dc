/** What GET /info answers. The keys stand in Docker's order. */
import { withoutCredentials } from "../../lib/proxy.ts";
import type { RegistrySettings } from "../../core/registry.ts";
import type { Build, CgroupFeatures, Conditions, DiscoveredDevices, Machine, SystemSettings } from "./types.ts";

export interface InfoSources {
  id: string;
  hostName: string;
  /** RFC 3339 with nanoseconds. */
  time: string;
  build: Build;
  machine: Machine;
  settings: SystemSettings;
  conditions: Conditions;
  devices: DiscoveredDevices | undefined;
}

export type Info = Record<string, unknown>;

export function info(sources: InfoSources): Info {
  const { build, machine, settings, conditions, devices } = sources;
  const { running, paused, stopped } = conditions.containers;
  return {
    ID: sources.id,
    Containers: running + paused + stopped,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: stopped,
    Images: conditions.images,
    Driver: conditions.storage.driver,
    DriverStatus: conditions.storage.status,
    Plugins: { Volume: settings.plugins.volume, Network: settings.plugins.network, Authorization: settings.plugins.authorization.length === 0 ? null : settings.plugins.authorization, Log: settings.plugins.log },
    ...limits(machine.cgroups),
    IPv4Forwarding: conditions.ipv4Forwarding,
    Debug: settings.debug,
    NFd: conditions.openFiles,
    OomKillDisable: machine.cgroups.oomKillDisable,
    // What comes nearest: what the process waits for, and streams to clients.
    NGoroutines: conditions.activeResources,
    SystemTime: sources.time,
    LoggingDriver: settings.loggingDriver,
    CgroupDriver: settings.cgroupDriver,
    CgroupVersion: machine.cgroups.version,
    NEventsListener: conditions.eventListeners,
    KernelVersion: machine.kernelVersion,
    OperatingSystem: machine.operatingSystem,
    OSVersion: machine.osVersion,
    OSType: "linux",
    Architecture: machine.architecture,
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registryConfig(settings.registries),
    NCPU: machine.cpus,
    MemTotal: machine.memoryBytes,
    GenericResources: null,
    DockerRootDir: settings.dataRoot,
    HttpProxy: withoutCredentials(settings.proxies.http),
    HttpsProxy: withoutCredentials(settings.proxies.https),
    NoProxy: settings.proxies.no,
    Name: sources.hostName,
    Labels: settings.labels,
    ExperimentalBuild: settings.experimental,
    ServerVersion: build.dockerVersion,
    Runtimes: settings.runtimes,
    DefaultRuntime: settings.defaultRuntime,
    Swarm: { NodeID: "", NodeAddr: "", LocalNodeState: "inactive", ControlAvailable: false, Error: "", RemoteManagers: null },
    LiveRestoreEnabled: settings.liveRestore,
    Isolation: "",
    InitBinary: settings.initPath,
    // Its part is this program's too.
    ContainerdCommit: { ID: build.gitCommit },
    RuncCommit: { ID: build.gitCommit },
    InitCommit: { ID: build.gitCommit },
    SecurityOptions: securityOptions(machine, settings),
    ...(settings.addressPools.length === 0 ? {} : { DefaultAddressPools: settings.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) }),
    FirewallBackend: { Driver: "nftables" },
    CDISpecDirs: settings.cdiSpecDirs,
    ...(devices && devices.names.length > 0 && { DiscoveredDevices: devices.names.map((name) => ({ Source: devices.driver, ID: name })) }),
    Warnings: warnings(machine, settings, conditions, devices?.warnings ?? []),
  };
}

const limits = (cgroups: CgroupFeatures): Info => ({
  MemoryLimit: cgroups.memoryLimit,
  SwapLimit: cgroups.swapLimit,
  CpuCfsPeriod: cgroups.cpuCfs,
  CpuCfsQuota: cgroups.cpuCfs,
  CPUShares: cgroups.cpuShares,
  CPUSet: cgroups.cpuset,
  PidsLimit: cgroups.pidsLimit,
});

function registryConfig({ mirrors, insecureNames, insecureNetworks }: RegistrySettings): object {
  const insecure = insecureNames.map((name) => [name, { Name: name, Mirrors: [], Secure: false, Official: false }]);
  return {
    InsecureRegistryCIDRs: insecureNetworks,
    IndexConfigs: Object.fromEntries([...insecure, ["docker.io", { Name: "docker.io", Mirrors: mirrors, Secure: true, Official: true }]]),
    Mirrors: mirrors.length === 0 ? null : mirrors,
  };
}

function securityOptions(machine: Machine, settings: SystemSettings): string[] {
  const options = [];
  if (machine.apparmor) options.push("name=apparmor");
  if (machine.seccomp) options.push(`name=seccomp,profile=${settings.seccompProfile}`);
  if (settings.remapsUsers) options.push("name=userns");
  if (settings.cgroupnsMode === "private") options.push("name=cgroupns");
  if (settings.noNewPrivileges) options.push("name=no-new-privileges");
  return options;
}

const ROOT_ACCESS = `
         Access to the remote API is equivalent to root access on the host. Refer
         to the 'Docker daemon attack surface' section in the documentation for
         more information: https://docs.docker.com/go/attack-surface/`;

function warnings(machine: Machine, settings: SystemSettings, conditions: Conditions, ofDevices: readonly string[]): string[] {
  const { cgroups } = machine;
  const open = settings.openAddresses.map(({ address, encrypted }) =>
    encrypted ? `WARNING: API is accessible on https://${address} without TLS client verification.${ROOT_ACCESS}` : `WARNING: API is accessible on http://${address} without encryption.${ROOT_ACCESS}`,
  );
  const missing: [present: boolean, what: string][] = [
    [cgroups.memoryLimit, "No memory limit support"],
    [cgroups.swapLimit, "No swap limit support"],
    [cgroups.oomKillDisable || cgroups.version === "2", "No oom kill disable support"],
    [cgroups.cpuCfs, "No cpu cfs quota support"],
    [cgroups.cpuCfs, "No cpu cfs period support"],
    [cgroups.cpuShares, "No cpu shares support"],
    [cgroups.cpuset, "No cpuset support"],
    [cgroups.blkioReadBps, cgroups.version === "2" ? "No io.max (rbps) support" : "No blkio throttle.read_bps_device support"],
    [cgroups.blkioWriteBps, cgroups.version === "2" ? "No io.max (wbps) support" : "No blkio throttle.write_bps_device support"],
    [cgroups.blkioReadIops, cgroups.version === "2" ? "No io.max (riops) support" : "No blkio throttle.read_iops_device support"],
    [cgroups.blkioWriteIops, cgroups.version === "2" ? "No io.max (wiops) support" : "No blkio throttle.write_iops_device support"],
    [conditions.ipv4Forwarding, "IPv4 forwarding is disabled"],
  ];
  const found = [...open, ...missing.filter(([present]) => !present).map(([, what]) => `WARNING: ${what}`)];
  if (machine.seccomp && settings.seccompProfile !== "builtin") found.push("WARNING: daemon is not using the default seccomp profile");
  return [...found, ...ofDevices, ...ofStorage(conditions.storage)];
}

const ofStorage = ({ driver, status }: Conditions["storage"]): string[] =>
  status.some(([name]) => name === "Data loop file") ? [`WARNING: ${driver}: usage of loopback devices is strongly discouraged for production use.\n         Use \`--storage-opt dm.thinpooldev\` to specify a custom block storage device.`] : [];
