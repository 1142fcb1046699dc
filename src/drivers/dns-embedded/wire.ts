/**
 * What the daemon and the name server's process say to each other, over a unix stream socket: JSON, a line each.
 *
 *   daemon ──{serial, request}──▶ server ──{serial, error?}──▶   answers may come in another order
 *                                 server ──{notice}──▶           for the daemon's log
 *                                 server ──{repaired}──▶         what another program had taken away and is there again
 *                                 server ──{denial}──▶           what a limited sandbox was denied
 *
 * The first request is "hello", answered with the server's version; the second is "restore".
 */
import type { EgressDenial, EgressOwner, EndpointNames, SandboxView } from "../../core/name-service.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";

/** Of the messages and of what the server does: a server of another version is replaced. */
export const SERVER_VERSION = "2";

export interface WireEndpoint {
  networkId: string;
  endpointId: string;
  /** Absent: it is gone. */
  names?: { networkName: string; names: readonly string[]; addresses: string[] };
}

/** A namespace by a path to open it with, and its inode: the path is of a process that may have ended meanwhile. */
export interface WireNamespace {
  path: string;
  inode: string;
}

export interface WireView extends Omit<SandboxView, "upstreams" | "egress"> {
  upstreams: "host" | string[];
  egress?: { sources: string[]; rules: readonly string[]; owner: EgressOwner };
}

export interface WireSandbox {
  id: string;
  netns: WireNamespace;
  view: WireView;
}

export type Request =
  | { op: "hello" }
  /** The server lets go of everything and ends. */
  | { op: "end" }
  | { op: "restore"; endpoints: WireEndpoint[]; sandboxes: WireSandbox[] }
  | { op: "endpoint"; endpoint: WireEndpoint }
  | { op: "attach"; sandbox: WireSandbox }
  | { op: "view"; id: string; view: WireView }
  | { op: "detach"; id: string };

export type NumberedRequest = Request & { serial: number };
export type Reply = { serial: number; error?: string; version?: string };
export type ServerMessage = Reply | { notice: string } | { repaired: string } | { denial: EgressDenial };

export const wireEndpoint = ({ networkId, endpointId }: { networkId: string; endpointId: string }, names: EndpointNames | undefined): WireEndpoint => ({
  networkId,
  endpointId,
  ...(names ? { names: { ...names, addresses: names.addresses.map(formatIp) } } : {}),
});

export const wireView = ({ egress, ...view }: SandboxView): WireView => ({
  ...view,
  upstreams: view.upstreams === "host" ? "host" : view.upstreams.map(formatIp),
  ...(egress ? { egress: { ...egress, sources: egress.sources.map(formatIp) } } : {}),
});

export const addressesOf = (texts: readonly string[]): IpAddress[] => texts.flatMap((text) => parseIp(text) ?? []);

/** Cuts a stream into its messages. */
export class LineReader<Message> {
  readonly #deliver: (message: Message) => void;
  #parts: Buffer[] = [];

  constructor(deliver: (message: Message) => void) {
    this.#deliver = deliver;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#parts, rest.subarray(0, end)]).toString();
      this.#parts = [];
      rest = rest.subarray(end + 1);
      this.#deliver(JSON.parse(line) as Message);
    }
    if (rest.length > 0) this.#parts.push(rest);
  }
}

export const line = (message: NumberedRequest | ServerMessage): string => `${JSON.stringify(message)}\n`;
