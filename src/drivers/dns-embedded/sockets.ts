/** The server's sockets in one sandbox, at a port that the kernel chooses: a container may have a name server of its own at port 53. */
import { createSocket } from "node:dgram";
import type { Server, Socket } from "node:net";
import { parseIp } from "../../lib/ip.ts";
import { netSocket } from "../../sys/net-socket.ts";
import { askByDatagram, askByStream } from "./exchange.ts";
import { MAX_QUERY_BYTES } from "./message.ts";
import type { Resolver, Transport } from "./resolver.ts";
import { MessageStream, framed } from "./stream.ts";

const net = process.getBuiltinModule("node:net");

export const SERVER_ADDRESS = "127.0.0.11";

export interface ServerSockets {
  ports: { udp: number; tcp: number };
  close(): void;
}

/** A client that has sent no whole question for so long, or taken no answer, is let go. */
const IDLE_MS = 10_000;
/** Of one sandbox; the oldest gives way to a new one. */
const MAX_CONNECTIONS = 64;
/** Answers that a slow client has not taken: no more of its questions are read. */
const MAX_UNSENT_BYTES = 256 << 10;

const DATAGRAM: Transport = { kind: "datagram", exchange: askByDatagram };
const STREAM: Transport = { kind: "stream", exchange: askByStream };

export async function openServerSockets(netns: number, resolver: Resolver): Promise<ServerSockets> {
  const datagrams = await openDatagrams(netns, resolver);
  try {
    const streams = await openStreams(netns, resolver);
    return {
      ports: { udp: datagrams.port, tcp: streams.port },
      close: () => {
        datagrams.close();
        streams.close();
      },
    };
  } catch (error) {
    datagrams.close();
    throw error;
  }
}

interface Opened {
  port: number;
  close(): void;
}

const address = parseIp(SERVER_ADDRESS)!;

async function openDatagrams(netns: number, resolver: Resolver): Promise<Opened> {
  const socket = createSocket("udp4");
  let open = true;
  socket.on("message", (message, from) => {
    const send = (answer: Buffer): void => {
      // A client that is gone is no news.
      if (open) socket.send(answer, from.port, from.address, () => {});
    };
    const answer = resolver.resolve(message, DATAGRAM);
    if (answer instanceof Promise) void answer.then(send);
    else if (answer) send(answer);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ fd: netSocket({ netns, kind: "datagram", action: "bind", address, port: 0 }) }, resolve);
  });
  socket.removeAllListeners("error").on("error", () => {});
  return {
    port: socket.address().port,
    close: () => {
      open = false;
      socket.close();
    },
  };
}

async function openStreams(netns: number, resolver: Resolver): Promise<Opened> {
  const connections = new Set<Socket>();
  const server = net.createServer((socket) => {
    const [oldest] = connections.size >= MAX_CONNECTIONS ? connections : [];
    oldest?.destroy();
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    serveConnection(socket, resolver);
  });
  await listening(server, netSocket({ netns, kind: "stream", action: "listen", address, port: 0 }));
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : 0,
    close: () => {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

function listening(server: Server, fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ fd }, () => {
      server.removeListener("error", reject);
      server.on("error", () => {});
      resolve();
    });
  });
}

function serveConnection(socket: Socket, resolver: Resolver): void {
  const expire = (): void => void socket.destroy();
  let timer = setTimeout(expire, IDLE_MS);
  const send = (answer: Buffer): void => {
    if (socket.destroyed) return;
    clearTimeout(timer);
    timer = setTimeout(expire, IDLE_MS);
    if (!socket.write(framed(answer)) && socket.writableLength > MAX_UNSENT_BYTES) socket.pause();
  };
  const messages = new MessageStream((message) => {
    const answer = resolver.resolve(message, STREAM);
    if (answer instanceof Promise) void answer.then(send);
    else if (answer) send(answer);
  }, MAX_QUERY_BYTES);
  socket.on("drain", () => socket.resume());
  socket.on("data", (data: Buffer) => {
    if (!messages.push(data)) socket.destroy();
  });
  socket.on("error", () => {});
  socket.on("close", () => clearTimeout(timer));
}
