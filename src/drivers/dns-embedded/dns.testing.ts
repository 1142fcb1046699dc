/** Asking from inside a sandbox, by sockets of this process that belong to the sandbox's namespace. */
import { createSocket } from "node:dgram";
import type { Socket } from "node:net";
import packet from "dns-packet";
import type { DecodedPacket, Question } from "dns-packet";
import type { EndpointNames, SandboxView } from "../../core/name-service.ts";
import { parseIp } from "../../lib/ip.ts";
import { netSocket } from "../../sys/net-socket.ts";
import { MessageStream, framed } from "./stream.ts";

const net = process.getBuiltinModule("node:net");
export const LOOPBACK = parseIp("127.0.0.1")!;
const WAIT_MS = 60_000;

export interface Asking {
  type?: Question["type"];
  stream?: boolean;
  server?: string;
  port?: number;
  edns?: number;
}

type Namespace = { readonly fd: number };

/** The answer. Rejects when there is none. */
export async function ask(netns: Namespace, name: string, options: Asking = {}): Promise<DecodedPacket & { rcode: string }> {
  const additionals = options.edns === undefined ? [] : [{ type: "OPT" as const, name: "." as const, udpPayloadSize: options.edns, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] }];
  const query = packet.encode({ type: "query", id: Math.floor(Math.random() * 0x10000), flags: packet.RECURSION_DESIRED, questions: [{ name, type: options.type ?? "A" }], additionals });
  const answer = await exchangeRaw(netns, query, options);
  return packet.decode(answer) as DecodedPacket & { rcode: string };
}

/** What the answer's records hold, and "rcode" where it is none. */
export async function lookUp(netns: Namespace, name: string, options: Asking = {}): Promise<string[] | string> {
  const answer = await ask(netns, name, options);
  return answer.rcode === "NOERROR" ? (answer.answers ?? []).map((record) => String("data" in record ? record.data : "")) : answer.rcode;
}

export function exchangeRaw(netns: Namespace, message: Buffer, { stream = false, server = "127.0.0.11", port = 53 }: Asking = {}): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const close = stream ? byStream(netns, { message, server, port }, resolve, reject) : byDatagram(netns, { message, server, port }, resolve, reject);
  const timer = setTimeout(() => reject(new Error("no answer")), WAIT_MS);
  return promise.finally(() => {
    clearTimeout(timer);
    close();
  });
}

interface Sending {
  message: Buffer;
  server: string;
  port: number;
}

function byDatagram(netns: Namespace, { message, server, port }: Sending, resolve: (answer: Buffer) => void, reject: (error: Error) => void): () => void {
  const socket = createSocket("udp4");
  socket.on("message", resolve);
  socket.on("error", reject);
  socket.bind({ fd: netSocket({ netns: netns.fd, kind: "datagram", action: "none", address: LOOPBACK, port: 0 }) });
  socket.send(message, port, server);
  return () => socket.close();
}

function byStream(netns: Namespace, { message, server, port }: Sending, resolve: (answer: Buffer) => void, reject: (error: Error) => void): () => void {
  const socket = connectIn(netns, server, port);
  const messages = new MessageStream(resolve);
  socket.on("data", (data: Buffer) => messages.push(data));
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("closed")));
  socket.write(framed(message));
  return () => socket.destroy();
}

export const connectIn = (netns: Namespace, server: string, port: number): Socket =>
  new net.Socket({ fd: netSocket({ netns: netns.fd, kind: "stream", action: "connect", address: parseIp(server)!, port }), readable: true, writable: true });

export const names = (networkName: string, list: string[], ...addresses: string[]): EndpointNames => ({ networkName, names: list, addresses: addresses.map((text) => parseIp(text)!) });

export const view = (networkIds: string[], overrides: Partial<SandboxView> = {}): SandboxView => ({ networks: networkIds.map((networkId) => ({ networkId, links: {} })), forward: false, upstreams: "host", search: [], options: [], ...overrides });

/** A name server that answers every name with one address, counts, and can be silent or refuse. */
export interface FakeServer {
  mode: "answer" | "silent" | "refuse";
  asked: string[];
  answer: string;
  close(): void;
}

export async function fakeServer(netns: Namespace, address: string, answer: string, port = 53): Promise<FakeServer> {
  const server: FakeServer = { mode: "answer", asked: [], answer, close: () => void (datagrams.close(), streams.close()) };
  const reply = (raw: Buffer): Buffer | undefined => {
    const query = packet.decode(raw);
    const [question] = query.questions ?? [];
    server.asked.push(question?.name ?? "");
    if (server.mode === "silent") return undefined;
    const answers = server.mode === "answer" && question ? [{ type: "A" as const, name: question.name, data: server.answer, ttl: 60 }] : [];
    return packet.encode({ type: "response", id: query.id ?? 0, flags: (server.mode === "refuse" ? 5 : 0) | packet.RECURSION_DESIRED, questions: query.questions ?? [], answers });
  };
  const where = { netns: netns.fd, address: parseIp(address)!, port };
  const datagrams = createSocket("udp4", (message, from) => {
    const bytes = reply(message);
    if (bytes) datagrams.send(bytes, from.port, from.address);
  });
  await new Promise<void>((resolve) => datagrams.bind({ fd: netSocket({ ...where, kind: "datagram", action: "bind" }) }, resolve));
  const streams = net.createServer((socket) => {
    const messages = new MessageStream((message) => {
      const bytes = reply(message);
      if (bytes) socket.write(framed(bytes));
    });
    socket.on("data", (data: Buffer) => messages.push(data)).on("error", () => {});
  });
  await new Promise<void>((resolve) => streams.listen({ fd: netSocket({ ...where, kind: "stream", action: "listen" }) }, resolve));
  return server;
}
