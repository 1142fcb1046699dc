/** How long clients are waited for: to send the rest of a body, to read an answer, to close their side. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { resumeReading } from "./body.ts";

/** How long an unread body is swallowed after the answer, so that its sender reads the answer. */
const LINGER_MILLISECONDS = 1_000;
/** How much of a body that nobody wants is read before the answer, as Go's server does. */
const MAX_IGNORED_BYTES = 256 * 1024;
/** How long the answer to a client that has ended its side may take. */
const HALF_OPEN_MILLISECONDS = 300_000;
/** How long the sender of a body may pause. */
const BODY_PAUSE_MILLISECONDS = 600_000;

/** The answer is out before the body has come: the client gets a moment to notice, then the connection ends. */
export function expectBodyEnd(req: IncomingMessage): void {
  const { socket } = req;
  const timer = setTimeout(() => socket.destroy(), LINGER_MILLISECONDS).unref();
  req.once("end", () => clearTimeout(timer));
}

/** Node closes right behind an answer that is its connection's last: whoever still sends its body would meet a broken pipe and never read why. */
export async function bodyPassed(req: IncomingMessage): Promise<void> {
  if (req.complete || req.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, LINGER_MILLISECONDS).unref();
  let rest = MAX_IGNORED_BYTES;
  req.on("data", ({ length }: Buffer) => {
    rest -= length;
    if (rest < 0) resolve();
  });
  for (const event of ["end", "close", "error"]) req.once(event, () => resolve());
  req.resume();
  await promise;
  clearTimeout(timer);
}

/** Closing with unread input would make the kernel drop the answer on its way. */
export function lingeringClose(socket: Duplex): void {
  socket.end();
  socket.resume();
  resumeReading(socket);
  setTimeout(() => socket.destroy(), LINGER_MILLISECONDS).unref();
}

/** A body that never comes must not hold its connection for ever. */
export function boundPauses(req: IncomingMessage): void {
  if (req.complete || (req.headers["transfer-encoding"] === undefined && !(Number(req.headers["content-length"]) > 0))) return;
  req.socket.setTimeout(BODY_PAUSE_MILLISECONDS);
  for (const event of ["end", "close"]) req.once(event, () => req.socket.setTimeout(0));
}

/** A client may end its side and still read the answer; it may also have died without anyone noticing. */
export function boundHalfOpen({ socket }: IncomingMessage, res: ServerResponse): void {
  const halfClosed = (): void => {
    if (res.socket === null) return;
    const timer = setTimeout(() => res.socket !== null && socket.destroy(), HALF_OPEN_MILLISECONDS).unref();
    res.once("close", () => clearTimeout(timer));
  };
  socket.once("end", halfClosed);
  res.once("close", () => socket.removeListener("end", halfClosed));
}

/** A request has ended when its answer is complete, or its connection is closed. */
export function endOnce(req: IncomingMessage, res: ServerResponse, ended: () => void): void {
  let called = false;
  const end = (): void => {
    if (called) return;
    called = true;
    req.socket.removeListener("close", end);
    ended();
  };
  res.once("finish", end);
  req.socket.once("close", end);
}
