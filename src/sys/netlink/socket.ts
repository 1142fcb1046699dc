/** Exchanges with the kernel over netlink, in any network namespace, never on the main thread. */
import { closeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { GantryError } from "../../lib/errors.ts";
import { addon } from "../addon.ts";
import { MessageWriter, NLM_F, NLMSG, parseAcknowledgement, parseMessages } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";

const native = addon as {
  netlinkSocket(protocol: number, netns: number): Promise<number>;
  netlinkExchange(socket: number, protocol: number, netns: number, request: Uint8Array): Promise<Buffer>;
  netlinkWatch(socket: number, groups: number[], deliver: (data: Buffer | Error) => void, filter: Buffer): object;
  netlinkUnwatch(handle: object): void;
};

export const NETLINK = { ROUTE: 0, NETFILTER: 12 } as const;

/** Where to speak: `socket` is a socket opened before (whose port owns tables), else one of the namespace for this exchange. */
export interface Channel {
  protocol: number;
  /** The namespace's fd; -1 is the process's own. */
  netns: number;
  socket?: number;
}

/** One message to send. `what` names it in errors, as "add link docker0". */
export interface NetlinkRequest {
  what: string;
  type: number;
  flags: number;
  write: (writer: MessageWriter) => void;
}

/** What Node has no name for. */
const NAMELESS: Readonly<Record<number, string>> = { 54: "EXFULL" };

/** Why the kernel refused a request: the `cause` of the GantryError. */
export class NetlinkFailure extends Error {
  readonly errno: number;
  /** As "EEXIST". */
  readonly code: string;
  /** The index of the refused request in its batch. */
  readonly index: number;
  /** Its message type. */
  readonly type: number;

  constructor(errno: number, text: string, { index, type }: { index: number; type: number }) {
    const code = NAMELESS[errno] ?? getSystemErrorName(-errno);
    super(text === "" ? code : `${code}: ${text}`);
    this.name = "NetlinkFailure";
    this.errno = errno;
    this.code = code;
    this.index = index;
    this.type = type;
  }
}

/** The errno name of a failed request or system call, as "EEXIST"; "" for any other error. */
export function errnoCode(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "";
  if (thrown instanceof GantryError) return errnoCode(thrown.cause);
  return "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
}

export const openNetlinkSocket = (protocol: number, netns: number): Promise<number> => native.netlinkSocket(protocol, netns);

/** Sends the requests as one datagram and gives every answer but acknowledgements. Throws what the first refused request says; those after it may have been done. */
export async function exchange(channel: Channel, requests: readonly NetlinkRequest[]): Promise<NetlinkMessage[]> {
  return answersTo(requests, await roundTrip(channel, requests));
}

/** As exchange, but with every message as it came, refusals and acknowledgements too. */
export async function roundTrip(channel: Channel, requests: readonly NetlinkRequest[]): Promise<NetlinkMessage[]> {
  return parseMessages(await transmit(channel, encodeRequests(requests), requests));
}

/** One datagram; a request's sequence number is its position, from 1. */
export function encodeRequests(requests: readonly NetlinkRequest[]): Buffer {
  const writer = new MessageWriter();
  for (const [index, request] of requests.entries()) {
    writer.message({ type: request.type, flags: request.flags | NLM_F.REQUEST, sequence: index + 1 }, request.write);
  }
  return writer.finish();
}

async function transmit(channel: Channel, datagram: Buffer, requests: readonly NetlinkRequest[]): Promise<Buffer> {
  try {
    return await native.netlinkExchange(channel.socket ?? -1, channel.protocol, channel.netns, datagram);
  } catch (cause) {
    throw new GantryError("system", `failed to ${requests[0]?.what ?? "ask the kernel"}: ${(cause as Error).message}`, { cause });
  }
}

/** The answers among what roundTrip got. Throws for the first refusal. */
export function answersTo(requests: readonly NetlinkRequest[], messages: NetlinkMessage[]): NetlinkMessage[] {
  const answers: NetlinkMessage[] = [];
  for (const message of messages) {
    if (message.type === NLMSG.ERROR) {
      const { errno, text } = parseAcknowledgement(message);
      if (errno !== 0) throw refused(requests, message.sequence - 1, errno, text);
    } else if (message.type !== NLMSG.DONE) answers.push(message);
  }
  return answers;
}

function refused(requests: readonly NetlinkRequest[], index: number, errno: number, text: string): GantryError {
  const failure = new NetlinkFailure(errno, text, { index, type: requests[index]?.type ?? 0 });
  return new GantryError("system", `failed to ${requests[index]?.what ?? "change the network"}: ${failure.message}`, { cause: failure });
}

/** Messages that the kernel sends to multicast groups. */
export interface NetlinkWatch {
  close(): void;
}

/** `deliver` gets the messages (of one type, where it is given), or undefined when some were lost (the receiver must look for itself). */
export async function watch(channel: Channel, groups: number[], deliver: (messages: NetlinkMessage[] | undefined) => void, filter?: Buffer): Promise<NetlinkWatch> {
  return watchSocket(await openNetlinkSocket(channel.protocol, channel.netns), groups, deliver, filter ? { filter } : {});
}

const NO_FILTER = Buffer.alloc(0);

/** Takes the socket over. `prepare` is done first. */
export async function watchSocket(socket: number, groups: number[], deliver: (messages: NetlinkMessage[] | undefined) => void, { prepare, filter = NO_FILTER }: { prepare?: () => Promise<void>; filter?: Buffer } = {}): Promise<NetlinkWatch> {
  let handle: object;
  try {
    await prepare?.();
    handle = native.netlinkWatch(socket, groups, (data) => deliver(data instanceof Error ? undefined : parseMessages(data)), filter);
  } catch (cause) {
    closeSync(socket);
    throw new GantryError("system", `cannot watch the network: ${(cause as Error).message}`, { cause });
  }
  let open = true;
  return {
    close: () => {
      if (open) native.netlinkUnwatch(handle);
      open = false;
    },
  };
}
