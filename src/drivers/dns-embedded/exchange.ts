/** One question to one server, from the host's or a sandbox's namespace. Each has a socket, and with it a port and an id, of its own: nobody else can guess them. */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import type { Socket as Datagrams } from "node:dgram";
import type { Socket } from "node:net";
import { ipFromBytes, parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { netSocket } from "../../sys/net-socket.ts";
import { MessageStream, framed } from "./stream.ts";
import type { Exchange, Server } from "./upstreams.ts";

const net = process.getBuiltinModule("node:net");
const PORT = 53;

const familyOf = (address: string): IpAddress => parseIp(address.replace(/%.*$/, "")) ?? ipFromBytes(new Uint8Array(4));

/** The query with the id, and the answer with the query's own. */
function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

export const askByDatagram: Exchange = (server, query, signal) =>
  new Promise((resolve, reject) => {
    const id = randomInt(0x10000);
    const socket = openDatagrams(server);
    const end = (): void => {
      signal.removeEventListener("abort", abort);
      socket.close();
    };
    const fail = (error: Error): void => {
      end();
      reject(error);
    };
    const abort = (): void => fail(new Error("nobody waits any more"));
    signal.addEventListener("abort", abort);
    socket.on("error", fail);
    socket.on("message", (answer) => {
      if (answer.length < 12 || answer.readUInt16BE(0) !== id) return;
      end();
      resolve(withId(answer, query.readUInt16BE(0)));
    });
    socket.on("connect", () => socket.send(withId(query, id)));
    socket.connect(PORT, server.address);
  });

function openDatagrams({ address, netns }: Server): Datagrams {
  const family = familyOf(address);
  const socket = createSocket(family.family === 4 ? "udp4" : "udp6");
  if (netns >= 0) socket.bind({ fd: netSocket({ netns, kind: "datagram", action: "none", address: family, port: 0 }) });
  return socket;
}

export const askByStream: Exchange = (server, query, signal) =>
  new Promise((resolve, reject) => {
    const id = randomInt(0x10000);
    const socket = openStream(server);
    const fail = (error: Error): void => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      reject(error);
    };
    const abort = (): void => fail(new Error("nobody waits any more"));
    signal.addEventListener("abort", abort);
    const messages = new MessageStream((answer) => {
      if (answer.length < 12 || answer.readUInt16BE(0) !== id) return;
      signal.removeEventListener("abort", abort);
      socket.destroy();
      resolve(withId(answer, query.readUInt16BE(0)));
    });
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the server closed the connection")));
    socket.on("data", (data: Buffer) => messages.push(data));
    socket.write(framed(withId(query, id)));
  });

function openStream({ address, netns }: Server): Socket {
  if (netns < 0) return net.connect(PORT, address);
  const fd = netSocket({ netns, kind: "stream", action: "connect", address: familyOf(address), port: PORT });
  return new net.Socket({ fd, readable: true, writable: true });
}
