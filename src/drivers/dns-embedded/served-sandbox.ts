/** One sandbox that is answered: its namespace, its sockets, what it sees. */
import { fstatSync } from "node:fs";
import { formatIp } from "../../lib/ip.ts";
import { systemError } from "../../lib/errors.ts";
import { Netns } from "../../sys/netlink/netns.ts";
import type { Egress } from "./egress.ts";
import { HOST } from "./host-servers.ts";
import type { HostServers } from "./host-servers.ts";
import type { Names } from "./names.ts";
import { redirectQuestions } from "./redirect.ts";
import { Resolver } from "./resolver.ts";
import type { ResolverView } from "./resolver.ts";
import { SERVER_ADDRESS, openServerSockets } from "./sockets.ts";
import type { ServerSockets } from "./sockets.ts";
import { Upstreams } from "./upstreams.ts";
import { addressesOf } from "./wire.ts";
import type { WireNamespace, WireSandbox, WireView } from "./wire.ts";

export interface Surroundings {
  names: Names;
  host: HostServers;
  egress: Egress;
}

export const inodeOf = (fd: number): string => {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
};

export class ServedSandbox {
  readonly inode: string;
  readonly #netns: Netns;
  readonly #resolver: Resolver;
  readonly #sockets: ServerSockets;
  readonly #id: string;
  readonly #surroundings: Surroundings;

  private constructor(id: string, netns: Netns, inode: string, resolver: Resolver, sockets: ServerSockets, surroundings: Surroundings) {
    this.#id = id;
    this.#netns = netns;
    this.inode = inode;
    this.#resolver = resolver;
    this.#sockets = sockets;
    this.#surroundings = surroundings;
  }

  /** Answers when this resolves. On failure nothing is left open. */
  static async open({ id, netns: where, view }: WireSandbox, surroundings: Surroundings): Promise<ServedSandbox> {
    const netns = openNamespace(where);
    let sockets: ServerSockets | undefined;
    try {
      const resolver = new Resolver(surroundings.names, resolverView(id, view, netns.fd, surroundings));
      sockets = await openServerSockets(netns.fd, resolver);
      await redirectQuestions(netns.fd, sockets.ports);
      return new ServedSandbox(id, netns, where.inode, resolver, sockets, surroundings);
    } catch (error) {
      sockets?.close();
      netns.close();
      throw error;
    }
  }

  setView(view: WireView): void {
    this.#resolver.view = resolverView(this.#id, view, this.#netns.fd, this.#surroundings);
  }

  /** The redirection is left to end with the namespace, or to be replaced. */
  close(): void {
    this.#sockets.close();
    this.#netns.close();
  }
}

function openNamespace({ path, inode }: WireNamespace): Netns {
  const netns = Netns.open(path);
  if (inodeOf(netns.fd) === inode) return netns;
  netns.close();
  throw systemError(`the network namespace ${path} is another one meanwhile`);
}

function resolverView(id: string, { networks, forward, upstreams, options, egress: limits }: WireView, netns: number, { host, egress }: Surroundings): ResolverView {
  // A limited sandbox may not reach the servers itself.
  const from = limits ? HOST : netns;
  const own = upstreams === "host" ? undefined : new Upstreams(upstreamsOf(upstreams).map((address) => ({ address, netns: from })), { rotate: options.includes("rotate") });
  return {
    networks: networks.map(({ networkId, links }) => ({ networkId, links: new Map(Object.entries(links).map(([name, target]) => [name.toLowerCase(), target.toLowerCase()])) })),
    forward,
    ndots: ndotsOf(options),
    get upstreams() {
      return own ?? host.current;
    },
    ...(limits ? { gate: egress.gate(id) } : {}),
  };
}

/** A server that asked itself would not stop. */
const upstreamsOf = (texts: readonly string[]): string[] => addressesOf(texts).map(formatIp).filter((address) => address !== SERVER_ADDRESS);

/** The last one counts, as resolv.conf(5) says; without one, bare names are asked everywhere. */
function ndotsOf(options: readonly string[]): number {
  const values = options.flatMap((option) => /^ndots:([0-9]+)$/.exec(option)?.[1] ?? []);
  return Number(values.at(-1) ?? 0);
}
