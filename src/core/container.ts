/**
 * A container as the engine keeps it: what was asked for (config, hostConfig), what was decided at create, and its state.
 *
 *   created ──start──▶ running ──pause──▶ paused
 *      │                │  ▲ ◀──unpause──   │
 *      │                │  └── restarting ◀─┤ (restart policy)
 *      └──remove──▶     └──exit──▶ exited ──remove──▶ removing ──▶ gone | dead
 */
import type { ContainerConfig, HostConfig, NetworkingConfig } from "./container-config.ts";
import type { PortProtocol } from "./network-ports.ts";
import type { PortRun } from "./port-runs.ts";

export interface ContainerRecord {
  id: string;
  /** Without the slash that Docker shows. */
  name: string;
  /** Nanoseconds since 1970. */
  createdAt: bigint;
  imageId: string;
  /** As the user named it. */
  imageRef: string;
  /** Undefined when the image's store does not know it. */
  imageManifest?: ImageManifest;
  config: ContainerConfig;
  hostConfig: HostConfig;
  networkingConfig: NetworkingConfig;
  storageDriver: string;
  mounts: MountPoint[];
  state: ContainerState;
  /** How often the restart policy started it since the last start by hand. */
  restartCount: number;
  /** Stopped by a user: "unless-stopped" does not start it at the daemon's start. */
  stoppedByUser: boolean;
  /** What the last start got; undefined while not running. */
  network?: SandboxState;
  /** Of a container with a health check, since its last start. */
  health?: HealthState;
}

export interface HealthState {
  status: "starting" | "healthy" | "unhealthy";
  failingStreak: number;
  /** The last few probes, oldest first. */
  log: ProbeResult[];
}

export interface ProbeResult {
  /** RFC 3339. */
  start: string;
  end: string;
  /** 0: healthy; -1: it could not be run or took too long. */
  exitCode: number;
  output: string;
}

export interface MountPoint {
  type: "bind" | "tmpfs" | "volume" | "image";
  name?: string;
  source: string;
  destination: string;
  driver?: string;
  mode: string;
  rw: boolean;
  propagation: string;
  /** Only of a bind. */
  bind?: BindMount;
  /** Only of a tmpfs: mount options with commas. */
  options?: string;
  /** Only of a volume. */
  volume?: VolumeMount;
  /** Only of an image. */
  image?: ImageMount;
}

export interface ImageMount {
  /** The image's id. */
  id: string;
  /** The snapshot that keeps the image's layers and is never written to. */
  layer: string;
  /** What of the image is mounted; "" for the whole. */
  subpath: string;
}

export interface VolumeMount {
  /** Nobody named it: it goes with the container when that is asked for. */
  anonymous: boolean;
  /** What of the volume is mounted; "" for the whole. */
  subpath: string;
}

export interface BindMount {
  /** As asked for; a mount that another container brings can be read-only although it was asked for as writable. */
  readOnly: boolean;
  nonRecursive: boolean;
  /** Read-only without what is mounted below the source. */
  readOnlyNonRecursive: boolean;
  readOnlyForceRecursive: boolean;
  /** Make the source as a folder at the start when it is missing. */
  createSource: boolean;
}

/** The descriptor of the manifest that the image was unpacked from. */
export interface ImageManifest {
  mediaType: string;
  digest: string;
  size: number;
  platform: { architecture: string; os: string; variant?: string };
}

/** What a running container has in networks. */
export interface SandboxState {
  sandboxId: string;
  /** In the order of their interfaces. */
  endpoints: EndpointState[];
  /** Published; absent: none. */
  ports?: PortState[];
}

/** One endpoint in one network, as inspect shows it. What it has not is "" or 0. */
export interface EndpointState {
  networkName: string;
  networkId: string;
  endpointId: string;
  ipAddress: string;
  prefixLength: number;
  gateway: string;
  ipv6Address: string;
  ipv6PrefixLength: number;
  ipv6Gateway: string;
  macAddress: string;
}

/** A port of the container and where it is published; or consecutive ones. */
export interface PortState extends PortRun {
  protocol: PortProtocol;
  hostIp: string;
}

interface Run {
  pid: number;
  startedAt: bigint;
}
interface Ended {
  exitCode: number;
  oomKilled: boolean;
  error: string;
  /** 0n: never. */
  startedAt: bigint;
  finishedAt: bigint;
}

export type ContainerState =
  | ({ status: "created" } & Partial<Ended>)
  | ({ status: "running" } & Run & { previous?: Ended })
  | ({ status: "paused" } & Run & { previous?: Ended })
  | ({ status: "restarting" } & Ended)
  | ({ status: "exited" } & Ended)
  | ({ status: "removing"; /** Its anonymous volumes go, too. */ volumes?: boolean } & Partial<Ended>)
  | ({ status: "dead" } & Partial<Ended>);
