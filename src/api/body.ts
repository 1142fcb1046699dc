/**
 * The bodies of requests. Those that are archives are not parsed by Node: they stay in their connection, off which the addon reads
 * them on a thread of its own, and the connection ends with the answer.
 *
 * A request's head decides. Node's parser stops behind it when its listener answers 2, as behind the head of an upgrade, and gives the
 * connection away in an "upgrade" event.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type ConnectionBody, UnreadBody } from "../lib/connection-body.ts";
import { systemError } from "../lib/errors.ts";
import type { Call } from "./route.ts";
import { isJson } from "./wire/media-type.ts";

/** llhttp: no body, and what follows is not HTTP. */
const STOP = 2;
/** Shorter ones are parsed, and keep their connection. */
const LEAST_BYTES = 256 << 10;

/** cp into a container, load, and import of what comes with the request. */
const archivePath = /^(\/v[\d.]+)?\/(containers\/[^/?]+\/archive(\?|$)|images\/load(\?|$)|images\/create\?([^#]*&)?fromSrc=-(&|$))/;

interface Parsed {
  parser?: { onIncoming?: (req: IncomingMessage, keepAlive: boolean) => number | undefined } | null;
}

interface Handled {
  _handle?: { fd?: number; reading?: boolean; readStop?: () => void; readStart?: () => void } | null;
}

/** Bodies of requests that were read before their handlers ran. */
const kept = new WeakMap<IncomingMessage, Buffer>();
/** Where the request's body is. */
const unread = new WeakMap<IncomingMessage, Pick<ConnectionBody, "head" | "length">>();

/** For a new connection without TLS. */
export function leaveArchives(socket: Duplex): void {
  const { parser } = socket as Parsed;
  const parse = parser?.onIncoming;
  if (!parser || typeof parse !== "function" || fdOf(socket) < 0) return;
  parser.onIncoming = (req, keepAlive) => {
    if (!bringsArchive(req)) return parse(req, keepAlive);
    (req as { upgrade?: boolean }).upgrade = true;
    return STOP;
  };
}

function bringsArchive(req: IncomingMessage): boolean {
  if (!(req.method === "PUT" || req.method === "POST") || req.httpVersion !== "1.1") return false;
  if (!archivePath.test(req.url ?? "")) return false;
  const { headers } = req;
  if (headers.upgrade !== undefined || headers.expect !== undefined || isJson(headers["content-type"])) return false;
  if (headers["transfer-encoding"] !== undefined) return /^chunked$/i.test(headers["transfer-encoding"]);
  return Number(headers["content-length"] ?? 0) >= LEAST_BYTES;
}

/** -1 with TLS, and when it is closed. */
export const fdOf = (socket: Duplex): number => (socket as Handled)._handle?.fd ?? -1;

/** Of a request that came with the "upgrade" event, with what followed its head: false when its body was not left. */
export function leaveBody(req: IncomingMessage, socket: Duplex, head: Uint8Array): boolean {
  const handle = (socket as Handled)._handle;
  if (!handle || fdOf(socket) < 0 || !bringsArchive(req)) return false;
  handle.readStop?.();
  handle.reading = false;
  unread.set(req, { head: Uint8Array.from(head), length: req.headers["transfer-encoding"] === undefined ? Number(req.headers["content-length"]) : undefined });
  return true;
}

/** The connection is Node's again. */
export function resumeReading(socket: Duplex): void {
  const handle = (socket as Handled)._handle;
  if (!handle || handle.reading === true) return;
  handle.reading = true;
  handle.readStart?.();
}

export const isLeft = (req: IncomingMessage): boolean => unread.has(req);

/** Leaving it early keeps the connection, so that the client can read why. */
export function bodyOf(call: Pick<Call, "req" | "signal">): AsyncIterable<Uint8Array> {
  const { req } = call;
  const known = kept.get(req);
  if (known !== undefined) return (async function* () { yield known; })();
  const body = unread.get(req);
  if (body === undefined) return parsed(req);
  return new UnreadBody({
    get fd() {
      return fdOf(req.socket);
    },
    head: body.head,
    length: body.length,
    signal: call.signal,
  });
}

/** Leaving an ordinary loop early would cut the connection. */
const parsed = (req: IncomingMessage): AsyncIterable<Buffer> => req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;

/** Reads the body of a request; bodyOf gives it again. Throws for one of more bytes than that. */
export async function keepBody(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of parsed(req)) {
    size += chunk.length;
    if (size > maxBytes) throw systemError(`request body too large for authorization plugin: size exceeds ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  kept.set(req, body);
  return body;
}
