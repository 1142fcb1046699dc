/**
 * Names of containers, answered inside their sandboxes.
 *
 *   engine ──setEndpoint──▶ what each endpoint is called in its network
 *          ──attach───────▶ a sandbox is answered, with its view ──setView*──▶ ──detach──▶
 *
 * A name means an address only in a network: a sandbox sees the endpoints of the networks in its view, and nobody else's. So
 * that starting the 1,001st container of a network costs what the first did, names are told once for a network, and a view
 * names networks, not their endpoints.
 *
 * A name is one of an endpoint's names, or one of these, a dot and the network's name; in any case of letters, with or
 * without a final dot. Several endpoints may have the same name (aliases): all their addresses answer. An address is answered
 * backwards as "FIRST-NAME.NETWORK". A name that is known, asked for a kind of address that it has not, is answered with nothing;
 * what is not known goes to the upstream servers where the view forwards, and is refused elsewhere.
 *
 * All calls are idempotent and in the order of time; each resolves when questions are answered accordingly. The engine calls
 * setEndpoint before the attach of the same sandbox, and both before the container's program starts. Whatever the service
 * keeps outlives the daemon: the next one calls `restore` once, before anything else, with everything there is.
 */
import type { IpAddress } from "../lib/ip.ts";

export interface NameService {
  /** Where sandboxes ask, for their resolv.conf: 127.0.0.11. */
  readonly address: string;
  /** Everything that is served from now on: sandboxes and endpoints that are not in it are gone. */
  restore(state: NameServiceState): Promise<void>;
  /** Replaces what the endpoint is called in its network; undefined: it is gone. */
  setEndpoint(endpoint: { networkId: string; endpointId: string }, names: EndpointNames | undefined): Promise<void>;
  /** Begins to answer in the sandbox's namespace. The descriptor is the caller's and open until this resolves. */
  attach(sandbox: ServedSandbox, view: SandboxView): Promise<void>;
  /** Replaces the view of a sandbox: it was connected to a network, or disconnected. */
  setView(sandboxId: string, view: SandboxView): Promise<void>;
  /** The sandbox's last process has ended, or will. Nothing of the service keeps its namespace alive. */
  detach(sandboxId: string): Promise<void>;
}

export interface ServedSandbox {
  /** 64 hexadecimal digits. */
  id: string;
  /** An open network namespace. */
  netnsFd: number;
}

export interface EndpointNames {
  /** The network's own name, as "name.NETWORK" has it. */
  networkName: string;
  /** The container's name, its aliases, its short id and its host name; the first is what its addresses are called. */
  names: readonly string[];
  /** IPv4 and IPv6. */
  addresses: readonly IpAddress[];
}

export interface SandboxView {
  /** In the order in which they are asked: that of the default route first. */
  networks: readonly ViewedNetwork[];
  /** false: every network of the sandbox is internal, and nothing leaves it, questions neither. */
  forward: boolean;
  /** "host": what the host's resolv.conf names, now and after it changed, asked from the host's namespace. A list: asked from the sandbox's. */
  upstreams: "host" | readonly IpAddress[];
  /** What the sandbox may reach, by name or address; absent: everything. All its servers are asked from the host then. */
  egress?: EgressView;
  /** Of the sandbox's resolv.conf. */
  search: readonly string[];
  options: readonly string[];
}

export interface EgressView {
  /** The sandbox's own addresses. */
  sources: readonly IpAddress[];
  /** As src/lib/egress.ts reads them. */
  rules: readonly string[];
  owner: EgressOwner;
}

/** Whose denials are told. */
export interface EgressOwner {
  containerId: string;
  networkId: string;
  networkName: string;
}

/** What a limited sandbox was denied, told once in a while for each target. */
export interface EgressDenial {
  owner: EgressOwner;
  /** A name that was asked for, or an address. */
  target: string;
  /** Of packets: "tcp", "udp", or the IP protocol's number. */
  protocol?: string;
  port?: number;
}

export interface ViewedNetwork {
  networkId: string;
  /** Links: further names, of this sandbox alone, and the names in this network that they stand for. */
  links: Readonly<Record<string, string>>;
}

export interface NameServiceState {
  endpoints: readonly { networkId: string; endpointId: string; names: EndpointNames }[];
  sandboxes: readonly { sandbox: ServedSandbox; view: SandboxView }[];
}
