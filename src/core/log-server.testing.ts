/** Servers of streams and datagrams for tests of log drivers. */
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync } from "node:fs";
import type { IncomingMessage, Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface StreamServer {
  /** A port on 127.0.0.1, or the path that was asked for. */
  port: number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export type Connection = (bytes: Buffer, socket: Socket) => void;

/** `connected` makes what takes the bytes of one connection. */
export async function streamServer(connected: () => Connection, { path, make = (listener) => createServer(listener) }: { path?: string; make?: (listener: (socket: Socket) => void) => Server } = {}): Promise<StreamServer> {
  const sockets = new Set<Socket>();
  let server: Server;
  const result: StreamServer = {
    port: 0,
    async start() {
      server = make((socket) => {
        const take = connected();
        sockets.add(socket);
        socket.on("error", () => {});
        socket.on("data", (bytes: Buffer) => take(bytes, socket));
      });
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        if (path === undefined) server.listen(result.port, "127.0.0.1", resolve);
        else server.listen(path, resolve);
      });
      const address = server.address();
      if (address !== null && typeof address === "object") result.port = address.port;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  await result.start();
  return result;
}

export interface HttpReply {
  status: number;
  text: string;
}

/** Answers requests by their heads and bodies; `secure` with a key and a certificate. */
export async function httpServer(answer: (request: IncomingMessage, body: Buffer) => HttpReply, secure?: { key: Buffer; cert: Buffer }): Promise<StreamServer> {
  const reply = async (request: IncomingMessage, response: NodeJS.WritableStream & { statusCode: number }): Promise<void> => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { status, text } = answer(request, Buffer.concat(parts));
    response.statusCode = status;
    response.end(text);
  };
  const listener = (request: IncomingMessage, response: NodeJS.WritableStream & { statusCode: number }): void => void reply(request, response).catch(() => {});
  let server: HttpServer;
  const result: StreamServer = {
    port: 0,
    async start() {
      server = secure ? process.getBuiltinModule("node:https").createServer(secure, listener) : process.getBuiltinModule("node:http").createServer(listener);
      await new Promise<void>((resolve) => server.listen(result.port, "127.0.0.1", resolve));
      result.port = (server.address() as { port: number }).port;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  await result.start();
  return result;
}

export async function udpServer(took: (bytes: Buffer) => void): Promise<StreamServer> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 21 });
  socket.on("message", took);
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  let open = true;
  return {
    port: socket.address().port,
    async start() {},
    async stop() {
      if (open) socket.close();
      open = false;
    },
  };
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "gantry-logs-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
