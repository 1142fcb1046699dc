/**
 * Sockets that may do less than everything: each scope is a list of operations, and what none of a socket's scopes has is refused.
 *
 * Whatever the scopes, such a socket shows no values of environment variables, and nothing that it makes reaches the host: no bind
 * mounts, no devices, no privileges, no namespaces of the host or of other containers, no log that the host sends on.
 */
import type { HostConfig, NetworkingConfig } from "../core/container-config.ts";
import { REMOTE_LOG_DRIVERS } from "../core/log.ts";
import { forbidden } from "../lib/errors.ts";
import type { Route } from "./route.ts";

const ALWAYS = ["HEAD /_ping", "GET /_ping", "GET /version"];

const SCOPES = {
  list: ["GET /containers/json", "GET /containers/{}/json", "GET /images/json", "GET /images/{}/json", "GET /networks", "GET /networks/{}", "GET /volumes", "GET /volumes/{}", "GET /info", "GET /system/df"],
  logs: ["GET /containers/{}/logs"],
  events: ["GET /events"],
  stats: ["GET /containers/{}/stats", "GET /containers/{}/top"],
  lifecycle: ["start", "stop", "restart", "kill", "pause", "unpause", "wait"].map((action) => `POST /containers/{}/${action}`),
  exec: ["POST /containers/{}/exec", "POST /exec/{}/start", "POST /exec/{}/resize", "POST /exec/{}/kill", "GET /exec/{}/json"],
  attach: ["POST /containers/{}/attach", "GET /containers/{}/attach/ws", "POST /containers/{}/resize"],
  create: ["POST /containers/create"],
  remove: ["DELETE /containers/{}"],
  pull: ["POST /images/create"],
} as const satisfies Record<string, readonly string[]>;

export type Scope = keyof typeof SCOPES;

export const SCOPE_NAMES = Object.keys(SCOPES) as Scope[];

/** What a container is made of. */
interface CreateRequest {
  hostConfig: HostConfig;
  networkingConfig: NetworkingConfig;
}

/** A socket's rights. */
export class Confinement {
  readonly scopes: readonly Scope[];
  readonly #operations: ReadonlySet<string>;

  constructor(scopes: readonly Scope[]) {
    this.scopes = scopes;
    this.#operations = new Set([...ALWAYS, ...scopes.flatMap((scope) => SCOPES[scope])]);
  }

  /** Throws "forbidden" for an operation of none of the scopes. */
  check({ method, path }: Pick<Route, "method" | "path">): void {
    if (this.#operations.has(`${method} ${path.replace(/\{[^}]*\}/g, "{}").replace(/\/$/, "")}`)) return;
    throw forbidden(`${method} ${path} is not allowed on this socket, which may ${this.scopes.join(", ")} only`);
  }

  /** Throws "forbidden" when the container would reach what is not its own. `nameOf` a network that is meant by its id. */
  checkCreate({ hostConfig, networkingConfig }: CreateRequest, nameOf: (network: string) => string | undefined): void {
    const networks = [hostConfig.NetworkMode, ...Object.entries(networkingConfig.EndpointsConfig ?? {}).flatMap(([name, endpoint]) => [name, endpoint?.NetworkID ?? ""])];
    const reached = reaches(hostConfig, networks.map((network) => nameOf(network) ?? network));
    const found = Object.entries(reached).find(([, value]) => value);
    if (found) throw forbidden(`a container made through this socket must not reach the host or other containers: HostConfig.${found[0]} is not allowed`);
  }

  /** Throws "forbidden": files of the host would say what runs, and with which rights. */
  refuseCheckpoint(): never {
    throw forbidden("starts from checkpoints are not allowed on this socket");
  }

  /** Throws "forbidden" for a process with more rights than its container. */
  checkExec({ Privileged }: { Privileged: boolean }): void {
    if (Privileged) throw forbidden("privileged processes are not allowed on this socket");
  }
}

/** Logs are sent from the host: over its network and to its sockets, with its files and credentials. Options of such drivers count, too: they may be the daemon's default. */
const sendsLog = ({ Type, Config }: HostConfig["LogConfig"]): boolean =>
  REMOTE_LOG_DRIVERS.some((driver) => driver === Type || Object.keys(Config ?? {}).some((option) => option.startsWith(`${driver === "gcplogs" ? "gcp" : driver}-`)));

/** The fields by which a container gets at more than an ordinary one's, each with whether it does. */
function reaches(host: HostConfig, networks: readonly string[]): Record<string, boolean> {
  const own = (mode: string, ...more: string[]): boolean => ["", "private", ...more].includes(mode);
  const used = (list: readonly unknown[] | null | undefined): boolean => (list ?? []).length > 0;
  return {
    Binds: (host.Binds ?? []).some((bind) => bind.startsWith("/") || bind.startsWith("~")),
    Mounts: (host.Mounts ?? []).some(({ Type, VolumeOptions }) => (Type !== "volume" && Type !== "tmpfs") || VolumeOptions?.DriverConfig != null),
    LogConfig: sendsLog(host.LogConfig),
    VolumeDriver: host.VolumeDriver !== "",
    VolumesFrom: used(host.VolumesFrom),
    Privileged: host.Privileged,
    CapAdd: used(host.CapAdd),
    Devices: used(host.Devices),
    DeviceRequests: used(host.DeviceRequests),
    DeviceCgroupRules: used(host.DeviceCgroupRules),
    SecurityOpt: (host.SecurityOpt ?? []).some((option) => !/^no-new-privileges(?:[:=]true)?$/.test(option)),
    MaskedPaths: host.MaskedPaths !== null && host.MaskedPaths !== undefined,
    ReadonlyPaths: host.ReadonlyPaths !== null && host.ReadonlyPaths !== undefined,
    PidMode: !own(host.PidMode),
    IpcMode: !own(host.IpcMode, "none", "shareable"),
    UTSMode: !own(host.UTSMode),
    UsernsMode: !own(host.UsernsMode),
    CgroupnsMode: !own(host.CgroupnsMode),
    NetworkMode: networks.some((network) => network === "host" || network.startsWith("container:")),
    Links: used(host.Links),
    CgroupParent: host.CgroupParent !== "",
    Cgroup: host.Cgroup !== "",
    Runtime: host.Runtime !== "",
    Annotations: Object.keys(host.Annotations ?? {}).length > 0,
    OomScoreAdj: host.OomScoreAdj < 0,
  };
}
