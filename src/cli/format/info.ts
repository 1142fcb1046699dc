/** What `info` says about the daemon. */
import { bytesSize } from "../../lib/units.ts";

type Pairs = [string, string][] | null;

export interface ServerInfo {
  Containers: number;
  ContainersRunning: number;
  ContainersPaused: number;
  ContainersStopped: number;
  Images: number;
  ServerVersion: string;
  Driver: string;
  DriverStatus: Pairs;
  LoggingDriver: string;
  CgroupDriver: string;
  CgroupVersion?: string;
  Plugins: { Volume: string[] | null; Network: string[] | null; Authorization: string[] | null; Log: string[] | null };
  CDISpecDirs?: string[] | null;
  DiscoveredDevices?: { Source: string; ID: string }[] | null;
  Swarm: { LocalNodeState: string; NodeID?: string; NodeAddr?: string; ControlAvailable?: boolean; Error?: string; Managers?: number; Nodes?: number; Cluster?: { ID: string } | null };
  Runtimes: Record<string, unknown> | null;
  DefaultRuntime: string;
  InitBinary: string;
  ContainerdCommit?: { ID: string };
  RuncCommit?: { ID: string };
  InitCommit?: { ID: string };
  SecurityOptions: string[] | null;
  KernelVersion: string;
  OperatingSystem: string;
  OSType: string;
  Architecture: string;
  NCPU: number;
  MemTotal: number;
  Name: string;
  ID: string;
  DockerRootDir: string;
  Debug: boolean;
  NFd: number;
  NGoroutines: number;
  SystemTime: string;
  NEventsListener: number;
  HttpProxy: string;
  HttpsProxy: string;
  NoProxy: string;
  Labels: string[] | null;
  ExperimentalBuild: boolean;
  RegistryConfig?: { InsecureRegistryCIDRs?: string[] | null; IndexConfigs?: Record<string, { Name: string; Secure: boolean }> | null; Mirrors?: string[] | null } | null;
  LiveRestoreEnabled: boolean;
  ProductLicense?: string;
  DefaultAddressPools?: { Base: string; Size: number }[] | null;
  FirewallBackend?: { Driver: string; Info?: Pairs } | null;
  Warnings: string[] | null;
}

type Line = string | false;

export function serverInfoText(info: ServerInfo, options: { debug: boolean; user: string }): string {
  const lines: Line[] = [...counts(info), ...plugins(info), ...swarm(info), ...runtimes(info), ...machine(info), ...state(info, options), ...registries(info), ...rest(info)];
  return `${lines.filter((line) => line !== false).join("\n")}\n`;
}

const filled = (label: string, value: string | undefined): Line => (value ? ` ${label}: ${value}` : false);
const pairs = (list: Pairs | undefined): string[] => (list ?? []).map(([name, value]) => `  ${name}: ${value}`);
const listed = (title: string, items: string[] | null | undefined): string[] => ((items ?? []).length === 0 ? [] : [` ${title}:`, ...(items ?? []).map((item) => `  ${item}`)]);

function counts(info: ServerInfo): Line[] {
  return [
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    filled("Server Version", info.ServerVersion),
    filled("Storage Driver", info.Driver),
    ...pairs(info.DriverStatus),
    filled("Logging Driver", info.LoggingDriver),
    filled("Cgroup Driver", info.CgroupDriver),
    filled("Cgroup Version", info.CgroupVersion),
  ];
}

function plugins(info: ServerInfo): Line[] {
  const { Volume, Network, Authorization, Log } = info.Plugins;
  const names = (list: string[] | null): string => (list ?? []).join(" ");
  return [
    " Plugins:",
    `  Volume: ${names(Volume)}`,
    `  Network: ${names(Network)}`,
    (Authorization ?? []).length > 0 && `  Authorization: ${names(Authorization)}`,
    `  Log: ${names(Log)}`,
    ...listed("CDI spec directories", info.CDISpecDirs),
    ...listed("Discovered Devices", info.DiscoveredDevices?.map(({ Source, ID }) => `${Source}: ${ID}`)),
  ];
}

function swarm({ Swarm: swarm }: ServerInfo): Line[] {
  const first = ` Swarm: ${swarm.LocalNodeState}`;
  if (swarm.LocalNodeState === "inactive" || swarm.LocalNodeState === "locked") return [first];
  const manager = swarm.ControlAvailable === true && !swarm.Error && swarm.Cluster;
  return [
    first,
    `  NodeID: ${swarm.NodeID ?? ""}`,
    swarm.Error ? `  Error: ${swarm.Error}` : false,
    `  Is Manager: ${swarm.ControlAvailable === true}`,
    ...(manager ? [`  ClusterID: ${swarm.Cluster?.ID ?? ""}`, `  Managers: ${swarm.Managers ?? 0}`, `  Nodes: ${swarm.Nodes ?? 0}`] : []),
    `  Node Address: ${swarm.NodeAddr ?? ""}`,
  ];
}

function runtimes(info: ServerInfo): Line[] {
  const names = Object.keys(info.Runtimes ?? {});
  return names.length === 0 ? [] : [` Runtimes: ${names.join(" ")}`, ` Default Runtime: ${info.DefaultRuntime}`];
}

function machine(info: ServerInfo): Line[] {
  const linux = info.OSType === "linux";
  return [
    ...(linux ? [` Init Binary: ${info.InitBinary}`, ` containerd version: ${info.ContainerdCommit?.ID ?? ""}`, ` runc version: ${info.RuncCommit?.ID ?? ""}`, ` init version: ${info.InitCommit?.ID ?? ""}`, ...security(info.SecurityOptions)] : []),
    filled("Kernel Version", info.KernelVersion),
    filled("Operating System", info.OperatingSystem),
    filled("OSType", info.OSType),
    filled("Architecture", info.Architecture),
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${bytesSize(info.MemTotal)}`,
    filled("Name", info.Name),
    filled("ID", info.ID),
    ` Docker Root Dir: ${info.DockerRootDir}`,
    ` Debug Mode: ${info.Debug}`,
  ];
}

/** "name=seccomp,profile=builtin" takes two lines. */
function security(options: string[] | null): string[] {
  if (!options || options.length === 0) return [];
  const lines = options.flatMap((option) => {
    const fields = option.split(",").map((field) => field.split("="));
    const name = fields.find(([key]) => key === "name")?.[1] ?? option;
    const profile = fields.find(([key]) => key === "profile")?.[1];
    return [`  ${name}`, ...(profile === undefined ? [] : [`   Profile: ${profile}`])];
  });
  return [" Security Options:", ...lines];
}

function state(info: ServerInfo, options: { debug: boolean; user: string }): Line[] {
  const debug = info.Debug || options.debug;
  return [
    ...(debug ? [`  File Descriptors: ${info.NFd}`, `  Goroutines: ${info.NGoroutines}`, `  System Time: ${info.SystemTime}`, `  EventsListeners: ${info.NEventsListener}`] : []),
    filled("HTTP Proxy", info.HttpProxy),
    filled("HTTPS Proxy", info.HttpsProxy),
    filled("No Proxy", info.NoProxy),
    filled("Username", options.user),
    ...listed("Labels", info.Labels),
    ` Experimental: ${info.ExperimentalBuild}`,
  ];
}

function registries({ RegistryConfig: config }: ServerInfo): Line[] {
  const indexes = Object.values(config?.IndexConfigs ?? {});
  const networks = config?.InsecureRegistryCIDRs ?? [];
  const insecure = indexes.length + networks.length === 0 ? [] : [" Insecure Registries:", ...indexes.filter((index) => !index.Secure).map((index) => `  ${index.Name}`), ...networks.map((network) => `  ${network}`)];
  return [...insecure, ...listed("Registry Mirrors", config?.Mirrors)];
}

function rest(info: ServerInfo): Line[] {
  const pools = info.DefaultAddressPools ?? [];
  return [
    ` Live Restore Enabled: ${info.LiveRestoreEnabled}`,
    filled("Product License", info.ProductLicense),
    ...(pools.length === 0 ? [] : [" Default Address Pools:", ...pools.map(({ Base, Size }) => `   Base: ${Base}, Size: ${Size}`)]),
    ...(info.FirewallBackend ? [` Firewall Backend: ${info.FirewallBackend.Driver}`, ...pairs(info.FirewallBackend.Info)] : []),
  ];
}
