/** What building a container's OCI configuration needs to know of this machine and of other containers. */
import type { ContainerRecord } from "../../../core/container.ts";
import type { SeccompProfiles } from "../../../core/seccomp.ts";
import type { OciDevice } from "../../../lib/oci-spec.ts";
import type { UserSettings } from "../user-namespace.ts";

export type DeviceNode = OciDevice & { major: number; minor: number };

export interface SpecHost {
  /** The device at a path, or all devices in and below a folder. Throws the errno's error. */
  devicesAt(path: string): DeviceNode[];
  /** Every device of /dev, for privileged containers. */
  allDevices(): DeviceNode[];
  /** The mount that a path lies on. */
  mountOf(path: string): { mountpoint: string; isShared: boolean; isSlave: boolean };
  /** Whether something is mounted there. */
  isMountpoint(path: string): boolean;
  /** Whether a sysctl is there, by its name with dots. */
  hasSysctl(name: string): boolean;
  seccomp: SeccompProfiles;
  /** What tells a process's user namespace from others. */
  userNamespaceOf(pid: number | "self"): string;
  /** The program that is PID 1 with HostConfig.Init. */
  initPath: string;
}

/** Who makes containers' cgroups. */
export type CgroupDriver = "cgroupfs" | "systemd";

export interface SpecSettings extends UserSettings {
  /** Where containers' cgroups are when they ask for no other parent: "/gantry", of systemd "system.slice". */
  cgroupParent: string;
  cgroupDriver: CgroupDriver;
  dataRoot: string;
  /** Run an init in containers that do not say. */
  init: boolean;
  /** Limits of containers that do not set them, by name. */
  ulimits: Record<string, { soft: number; hard: number }>;
  /** Processes and threads of containers that do not set a limit and are not privileged; 0: any number. */
  pidsLimit: number;
  noNewPrivileges: boolean;
  /** Of containers that name none and are not privileged; absent: they have none. */
  appArmorProfile?: string;
}

/** The sandbox that a start has made. */
export interface SpecSandbox {
  /** Another container's network namespace, as /proc/PID/ns/net. */
  netnsPath?: string;
  /** Files to bind over /etc/hosts, /etc/hostname and /etc/resolv.conf. */
  files?: { hosts: string; hostname: string; resolvConf: string };
  /** Variables that the container's own override. */
  env?: string[];
}

export interface SpecInput {
  record: ContainerRecord;
  sandbox: SpecSandbox;
  host: SpecHost;
  settings: SpecSettings;
  /** A folder of the host to bind over /dev/shm; otherwise it is the container's own. */
  sharedMemory?: string;
  /** Where the data of its volumes is now, by destination. */
  volumes?: ReadonlyMap<string, string>;
  /** The init process of another container that runs. Throws Docker's error. */
  pidOf(ref: string, namespace: "IPC" | "PID"): number;
}
