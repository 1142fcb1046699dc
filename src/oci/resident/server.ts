/**
 * The resident process: runs gantry-runtime's commands for callers that have everything in common with it (facts.ts), so
 * that none of them waits for Node to start. What must be done in the caller's own process is (FrontCaller). It ends when nobody has
 * called for a while, and when its socket is gone.
 */
import { existsSync, unlinkSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { peerCredentials } from "../../sys/seqpacket.ts";
import { NotServed } from "../cli/caller.ts";
import { main } from "../cli/main.ts";
import { factsOf } from "./facts.ts";
import { FrontCaller } from "./front-caller.ts";
import { decodeMessage, encodeHello, messagesOf } from "./protocol.ts";

const { createServer } = process.getBuiltinModule("node:net");

/** How often it looks whether it is still wanted. */
const checkMs = 1000;

export interface ServerOptions {
  /** A listening socket, and its path, which is removed at the end. */
  fd: number;
  path: string;
  version: string;
  idleMs: number;
}

/** Resolves when it has ended. */
export function serve({ fd, path, version, idleMs }: ServerOptions): Promise<void> {
  const facts = factsOf("/proc/self");
  const open = new Set<Socket>();
  let lastCall = Date.now();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => {
      open.delete(socket);
      lastCall = Date.now();
    });
    socket.on("error", () => {});
    const proc = callerOf(socket, facts);
    if (proc === undefined) socket.destroy();
    else serveCaller(socket, proc, version);
  });
  server.listen({ fd });
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (open.size > 0 || (Date.now() - lastCall < idleMs && existsSync(path))) return;
      clearInterval(timer);
      end(server, path, resolve);
    }, checkMs);
  });
}

/** Removed first: who comes now starts another one, as soon as this process is gone. */
function end(server: Server, path: string, resolve: () => void): void {
  try {
    unlinkSync(path);
  } catch {}
  server.close(() => resolve());
}

/** The caller's folder in /proc; undefined: it is not to be served. */
function callerOf(socket: Socket, ourFacts: string | undefined): string | undefined {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const [pid, uid] = peerCredentials(fd);
  const proc = `/proc/${pid}`;
  return ourFacts !== undefined && uid === process.geteuid?.() && pid > 0 && factsOf(proc) === ourFacts ? proc : undefined;
}

function serveCaller(socket: Socket, proc: string, version: string): void {
  let caller: FrontCaller | undefined;
  const take = messagesOf((bytes) => {
    const message = decodeMessage(bytes);
    if (message.type !== "request") return caller?.receive(message);
    if (caller !== undefined) throw new RangeError("a second request");
    caller = new FrontCaller(socket, proc, message);
    void run(caller, message.line, version);
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      take(chunk);
    } catch {
      socket.destroy();
    }
  });
  socket.on("close", () => caller?.lose());
  socket.write(encodeHello());
}

async function run(caller: FrontCaller, line: string[], version: string): Promise<void> {
  try {
    caller.exit(await main(line, version, caller));
  } catch (error) {
    if (!(error instanceof NotServed)) throw error;
    caller.direct();
  }
}
