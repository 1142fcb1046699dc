/** What the system service is told by those who wire the engine. */

import type { RegistrySettings } from "../../core/registry.ts";

/** Facts about the machine that do not change while the daemon runs. */
export interface Machine {
  kernelVersion: string;
  /** As `uname -v` has it. */
  operatingSystem: string;
  osVersion: string;
  /** As `uname -m`, such as x86_64. */
  architecture: string;
  /** In Go's words, such as amd64. */
  goArchitecture: string;
  cpus: number;
  memoryBytes: number;
  cgroups: CgroupFeatures;
  apparmor: boolean;
  seccomp: boolean;
}

export interface CgroupFeatures {
  version: "1" | "2";
  memoryLimit: boolean;
  swapLimit: boolean;
  oomKillDisable: boolean;
  cpuCfs: boolean;
  cpuShares: boolean;
  cpuset: boolean;
  pidsLimit: boolean;
  blkioReadBps: boolean;
  blkioWriteBps: boolean;
  blkioReadIops: boolean;
  blkioWriteIops: boolean;
}

/** What versions and builds the daemon has. */
export interface Build {
  /** The engine's own. */
  version: string;
  /** The version of Docker that clients may take this engine for. */
  dockerVersion: string;
  gitCommit: string;
  buildTime: string;
}

/** What can change from one question to the next. */
export interface Conditions {
  containers: { running: number; paused: number; stopped: number };
  images: number;
  storage: { driver: string; status: [name: string, value: string][] };
  openFiles: number;
  /** Timers, sockets, threads and the like that the process has under way. */
  activeResources: number;
  eventListeners: number;
  ipv4Forwarding: boolean;
}

/** The part of the daemon's settings that `info` and `version` show. */
/** Found by a device driver. */
export interface DiscoveredDevices {
  driver: string;
  names: string[];
  warnings: string[];
}

export interface SystemSettings {
  dataRoot: string;
  labels: string[];
  debug: boolean;
  experimental: boolean;
  cdiSpecDirs: string[];
  liveRestore: boolean;
  defaultRuntime: string;
  /** By name, as they were configured. */
  runtimes: Record<string, object>;
  loggingDriver: string;
  seccompProfile: string;
  noNewPrivileges: boolean;
  /** Containers have user namespaces of their own. */
  remapsUsers: boolean;
  cgroupnsMode: "host" | "private";
  cgroupDriver: "cgroupfs" | "systemd";
  initPath: string;
  addressPools: { base: string; size: number }[];
  registries: RegistrySettings;
  proxies: { http: string; https: string; no: string };
  minimumApiVersion: string;
  /** Listeners on TCP that anyone may use: the scheme and address. */
  openAddresses: { address: string; encrypted: boolean }[];
  plugins: { volume: string[]; network: string[]; authorization: string[]; log: string[] };
}
