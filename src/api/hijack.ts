/**
 * Taking a connection over from HTTP, as attach and exec do.
 *
 * With an Upgrade header Node has already taken its parser off, and the response writes to the stream that came with the
 * "upgrade" event. Old clients send none: then Node's listeners are taken off the socket here. Its "close" listener stays,
 * because it frees the parser.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { watchDeparture } from "./departed.ts";

/** Sends the head of Docker's answer and gives the connection. The request's body must have been read. */
export function takeOver(req: IncomingMessage, res: ServerResponse, contentType: string): Duplex {
  const stream = detach(req, res);
  if (req.socket.remoteAddress === undefined) watchDeparture(stream);
  stream.write(isUpgraded(req) ? upgradedHead(res, contentType) : `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n\r\n`);
  return stream;
}

/** Gives the connection without having answered. */
export function detach(req: IncomingMessage, res: ServerResponse): Duplex {
  const socket = res.socket as NonNullable<typeof res.socket>;
  res.detachSocket(socket);
  if (!isUpgraded(req)) release(socket);
  socket.on("error", () => socket.destroy());
  return socket;
}

/** How long a client that does not read is waited for. */
const HEAD_MILLISECONDS = 2000;

/** Settles when the client has received all that was sent to it, is gone, or has not read it in this time. */
export async function received(socket: Socket, hasReceivedAll: (socket: Socket) => boolean, milliseconds = HEAD_MILLISECONDS): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!socket.destroyed && (socket.writableLength > 0 || !hasReceivedAll(socket)) && performance.now() < end) await delay(1);
}

/** True when the request came with the "upgrade" event. */
const isUpgraded = (req: IncomingMessage): boolean => (req as IncomingMessage & { upgrade?: boolean }).upgrade === true;

function upgradedHead(res: ServerResponse, contentType: string): string {
  const names = (res as ServerResponse & { getRawHeaderNames(): string[] }).getRawHeaderNames();
  const kept = names.map((name) => `${name}: ${String(res.getHeader(name))}\r\n`);
  return `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${kept.join("")}\r\n`;
}

function release(socket: Duplex): void {
  // A listener for data makes Node's HTTP give the socket's handle back to the socket.
  socket.on("data", () => {});
  for (const event of ["data", "end", "drain", "error", "timeout"]) socket.removeAllListeners(event);
  // As fresh: the first listener for data starts it.
  (socket as { readableFlowing: boolean | null }).readableFlowing = null;
}
