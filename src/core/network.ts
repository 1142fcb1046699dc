/**
 * The container network model.
 *
 *   sandbox    the network namespace of a container, or of several that share one
 *   network    what a driver connects endpoints through: a bridge, the host's own stack, nothing
 *   endpoint   one sandbox's attachment to one network: an interface with its addresses
 *
 *   engine ──validate──▶ driver ──createNetwork──▶ (join ──▶ leave)*  ──deleteNetwork──▶
 *
 * Life of an endpoint: the engine gets addresses from the IPAM, then `join` makes the interface in the sandbox. `leave` ends
 * it; its promise may take as long as the kernel needs to remove the interface, and only then are the addresses free, so
 * the engine does not let a client wait for it. All calls are idempotent where the kernel's state already is what was asked for.
 *
 * A driver that can do more has one of the optional abilities at the end of this file, or publishes ports (network-ports.ts).
 */
import type { UserMaps } from "../lib/user-maps.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../lib/ip.ts";
import type { PortProtocol, PublishedPort } from "./network-ports.ts";

export interface NetworkDriver {
  /** As `docker network create --driver` names it: "bridge", "host", "null". */
  readonly id: string;
  readonly capabilities: NetworkDriverCapabilities;
  /** Small named checks, before any side effect: "invalid-parameter" for what is wrong, "not-implemented" for what is not done. */
  validate(network: NetworkSpec): void;
  /** Nobody could use a gateway in it; absent: somebody always can. */
  isWithoutGateway?(network: NetworkSpec, family: IpFamily): boolean;
  /** Makes the segment, or adopts and repairs what is left of it from an earlier life of the daemon. */
  createNetwork(network: NetworkSpec): Promise<void>;
  /** Goes on after an error and reports all of them. */
  deleteNetwork(networkId: string): Promise<void>;
  /** On failure nothing is left of the endpoint. */
  join(request: JoinRequest): Promise<JoinResult>;
  /** Resolves when the endpoint's interface is gone: with its sandbox, or taken out `from` one that lives on. Never fails for one that is gone already. */
  leave(endpoint: EndpointReference, from?: { sandbox: SandboxNamespace; interfaceName: string }): Promise<void>;
  /** Releases what the driver holds in this process. Networks and endpoints stay. */
  close(): Promise<void>;
}

export interface NetworkDriverCapabilities {
  /**
   * "own": a namespace for each container, made by the engine. "bare": one with nothing but loopback, which the runtime makes
   * with the container. "host": the host's own. With the last two join and leave change nothing.
   */
  sandbox: "own" | "bare" | "host";
  /** Endpoints have addresses, from the IPAM. */
  addresses: boolean;
  /** "own": each subnet has a gateway, which the driver makes. "asked": somebody else is the gateway, where one was named. */
  gateways: "own" | "asked";
  scope: "local" | "global";
}

export interface NetworkSpec {
  id: string;
  name: string;
  /** Options as the API names them, such as com.docker.network.bridge.name. */
  options: Record<string, string>;
  /** Nothing leaves the network, and nobody else comes in. */
  internal: boolean;
  subnets: NetworkSubnet[];
}

export interface NetworkSubnet {
  subnet: IpPrefix;
  gateway?: IpAddress;
}

export interface EndpointReference {
  networkId: string;
  /** 64 hexadecimal digits. */
  endpointId: string;
}

export interface JoinRequest extends EndpointReference {
  sandbox: SandboxNamespace;
  /** Inside the sandbox, such as "eth0". */
  interfaceName: string;
  /** The interface's place among the sandbox's, from 0 on. */
  slot: number;
  /** The interface's addresses, each with its network's length. */
  addresses: IpPrefix[];
  /** Further ones that are no network's, such as link-local ones. */
  extraAddresses?: readonly IpPrefix[];
  /** Default routes go through these: one of each family at most. */
  gateways: IpAddress[];
  /** Families that have no default route yet: if there is one, somebody else made it, and joining fails. */
  firstRoutes?: readonly IpFamily[];
  /** Of the interface, as "net/ipv4/conf/eth0/log_martians". */
  sysctls?: readonly { name: string; value: string }[];
  /** Absent: the driver chooses. */
  mac?: Uint8Array;
  /** Its programs may speak for others on the network: they are as good as the host's root. */
  trusted?: boolean;
  /** What reservePorts() gave for this endpoint. */
  ports?: readonly PublishedPort[];
}

export interface JoinResult {
  mac: Uint8Array;
}

/** An open network namespace; closing it releases this process's hold, not the processes' in it. */
export interface SandboxNamespace {
  readonly fd: number;
  close(): void;
}

/** Optional: makes a sandbox together with its endpoint's interface, ahead where it can, because making one waits for kernel locks. */
export interface ProvidesSandboxes {
  /** The caller owns the sandbox, and joins with this endpoint id or leaves. With `maps` it belongs to a user namespace that has them. */
  provideSandbox(networkId: string, interfaceName: string, maps?: UserMaps): Promise<{ endpointId: string; sandbox: SandboxNamespace }>;
  /** Begins to prepare; resolves when as many as wanted are ready, or that had to wait. */
  prepared(): Promise<void>;
}

/** Optional: goes on where an earlier life of the daemon ended. */
export interface RecoversEndpoints {
  /** Networks that will be made, before the first is: what is there of them goes on meanwhile. */
  expectNetworks(networks: readonly NetworkSpec[]): void;
  /** Takes up the endpoints that outlived the daemon, of all the driver's networks, and removes whatever else this daemon once made. */
  recover(endpoints: readonly EndpointReference[]): Promise<void>;
}

/** From an endpoint's addresses to ports of another one's, in a network whose containers do not reach each other otherwise. */
export interface NetworkLink {
  networkId: string;
  from: readonly IpAddress[];
  to: readonly IpAddress[];
  ports: readonly { protocol: PortProtocol; port: number }[];
}

/** Optional: lets one endpoint reach ports of another; without effect where all reach each other. Nothing is kept over the daemon's restart. */
export interface OpensLinks {
  openLink(link: NetworkLink): Promise<void>;
  /** Idempotent, also for a link of an earlier life of the daemon. */
  closeLink(link: NetworkLink): Promise<void>;
}

export const opensLinks = (driver: NetworkDriver): driver is NetworkDriver & OpensLinks => "openLink" in driver;

/** One that has other addresses, and routes, from now on, and the hardware address that belongs to them. */
export type RenumberedEndpoint = Omit<JoinRequest, "slot" | "firstRoutes" | "sysctls">;

/** Optional: gives a network that is in use other subnets. */
export interface RenumbersNetworks {
  /** As the specification has it, with all endpoints there are. Called again after a crash, until it has succeeded once. Gives a result for each. */
  renumberNetwork(network: NetworkSpec, endpoints: readonly RenumberedEndpoint[]): Promise<JoinResult[]>;
}

/** Optional: stops an endpoint that has left before its interface is gone. */
export interface SilencesEndpoints {
  /** Says whether nothing comes from its interface any more, so that its addresses may be another's. */
  silence(endpoint: EndpointReference): Promise<boolean>;
}

export const silencesEndpoints = (driver: NetworkDriver): driver is NetworkDriver & SilencesEndpoints => "silence" in driver;

/** Optional: believes endpoints what they say of themselves, and nothing else. */
export interface GuardsEndpoints {
  /** These are all addresses of the endpoint's sandbox, in whatever network: what comes in by one may be answered by another. */
  believe(endpoint: EndpointReference, addresses: readonly IpAddress[]): Promise<void>;
}

export const guardsEndpoints = (driver: NetworkDriver): driver is NetworkDriver & GuardsEndpoints => "believe" in driver;

/** Optional: has the interfaces of endpoints made again when another program takes them away. */
export interface RestoresEndpoints {
  /** Those whose interfaces are gone though they did not leave. */
  onLoss(lost: (endpoints: readonly EndpointReference[]) => void): void;
  /** Looks at all of them, as after a time when nobody watched. */
  checkEndpoints(): Promise<void>;
  /** As it was when it joined, with that hardware address; nothing for one that has left. Says whether there was anything to do. */
  rejoin(request: JoinRequest & { mac: Uint8Array }): Promise<boolean>;
}

/** Optional: may have several bridges for one network. */
export interface NamesBridges {
  /** Those that there are besides the network's own one. */
  furtherBridges(networkId: string): readonly string[];
}

export const namesBridges = (driver: NetworkDriver): driver is NetworkDriver & NamesBridges => "furtherBridges" in driver;
export const restoresEndpoints = (driver: NetworkDriver): driver is NetworkDriver & RestoresEndpoints => "rejoin" in driver;
export const renumbersNetworks = (driver: NetworkDriver): driver is NetworkDriver & RenumbersNetworks => "renumberNetwork" in driver;
export const providesSandboxes = (driver: NetworkDriver): driver is NetworkDriver & ProvidesSandboxes => "provideSandbox" in driver;
export const recoversEndpoints = (driver: NetworkDriver): driver is NetworkDriver & RecoversEndpoints => "recover" in driver;
