/** WebSocket connections (RFC 6455) as byte streams, for attach/ws. */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { invalidParameter } from "../lib/errors.ts";
import { detach } from "./hijack.ts";
import { atLeast, type Call } from "./route.ts";

/** What one message of a client may measure. */
const MAX_MESSAGE_BYTES = 1 << 20;
const LINGER_MILLISECONDS = 1_000;

/** Completes the handshake. What is written becomes messages: binary ones, or text for API versions before 1.28. */
export async function acceptWebSocket(call: Call): Promise<Duplex> {
  const { req, res } = call;
  if (req.headers.upgrade?.toLowerCase() !== "websocket") throw invalidParameter("not websocket protocol");
  if (!/^[+/0-9a-z]{22}==$/i.test(req.headers["sec-websocket-key"] ?? "")) throw invalidParameter("missing or bad Sec-WebSocket-Key");
  if (!["8", "13"].includes(req.headers["sec-websocket-version"] ?? "")) throw invalidParameter("missing or bad WebSocket Version");
  const { WebSocketServer, createWebSocketStream } = await import("ws");
  const server = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });
  const socket = await new Promise<WebSocket>((resolve, reject) => {
    server.on("wsClientError", reject);
    server.handleUpgrade(req, detach(req, res), Buffer.alloc(0), resolve);
  });
  if (!atLeast(call.version, 28)) sendAsText(socket);
  const stream = createWebSocketStream(socket);
  stream.on("error", () => stream.destroy());
  // A WebSocket has no half-close: its end is the client's departure. What was read is given time to be taken.
  stream.once("end", () => stream.destroy());
  socket.once("close", () => setTimeout(() => stream.destroy(), LINGER_MILLISECONDS).unref());
  return stream;
}

function sendAsText(socket: WebSocket): void {
  const send = socket.send.bind(socket);
  socket.send = ((data: Buffer, sent: (error?: Error) => void) => send(data, { binary: false }, sent)) as typeof socket.send;
}
