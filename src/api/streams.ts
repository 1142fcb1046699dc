/** Carrying bytes between a client's hijacked connection and a process's streams. */
import type { ServerResponse } from "node:http";
import { Transform, type Duplex } from "node:stream";
import { DetachFilter } from "../lib/detach-keys.ts";
import { frame, FrameReader } from "../lib/multiplex.ts";
import { type SendableBytes, isSendable } from "../lib/connection-body.ts";
import { fdOf } from "./body.ts";
import type { Call } from "./route.ts";

/** How long a client that was told the end may take to close its side. */
const LINGER_MILLISECONDS = 2000;
/** How long output may come after the process's own end, from children that hold its streams. */
const LAST_OUTPUT_MILLISECONDS = 2000;

export interface BridgeOptions {
  /** Detach keys to watch for in what the client types. */
  detachKeys?: readonly number[];
  /** Applied to what the process prints. */
  output?: Transform;
  /** The end of what the client types is that of the whole: its output goes on without this client. */
  endsWithInput?: boolean;
  /** Settles when the process has ended: the client learns of the end only then, so that it finds the exit code. What a child left behind still prints is waited for a moment, not for ever. */
  exited?: Promise<unknown>;
}

/** Carries both ways until the process's side ends or the client is gone. Resolves with "detached" when the client typed the detach keys; the connection is then left open for the caller to end. */
export function bridge(client: Duplex, process: Duplex, options: BridgeOptions = {}): Promise<"ended" | "detached"> {
  return new Promise((resolve) => {
    const filter = options.detachKeys ? new DetachFilter(options.detachKeys) : undefined;
    let settled = false;
    const settle = (outcome: "ended" | "detached"): void => {
      if (settled) return;
      settled = true;
      client.removeListener("data", typed);
      client.removeListener("end", typedEnd);
      resolve(outcome);
    };
    const typed = (chunk: Buffer): void => {
      const step = filter?.push(chunk) ?? { pass: chunk, detached: false };
      if (step.pass.length > 0 && !process.write(step.pass)) {
        client.pause();
        process.once("drain", () => client.resume());
      }
      if (!step.detached) return;
      process.unpipe();
      process.destroy();
      settle("detached");
    };
    const typedEnd = (): void => {
      if (!options.endsWithInput) return void process.end();
      process.unpipe();
      process.destroy();
      endClient(client);
      settle("ended");
    };
    client.on("data", typed);
    // A socket that nobody reads tells its end at once when nothing came before it: that may be over.
    if (client.readableEnded) typedEnd();
    else client.on("end", typedEnd);
    const gone = (): void => {
      process.destroy();
      settle("ended");
    };
    client.on("error", gone);
    client.on("close", gone);
    process.on("error", () => endClient(client));
    process.on("close", () => settle("ended"));
    // They may have ended before anybody carried.
    if (client.destroyed) return gone();
    if (process.destroyed) return endClient(client), settle("ended");
    if (options.output) process.pipe(options.output).pipe(client, { end: false });
    else process.pipe(client, { end: false });
    const exited = options.exited ?? Promise.resolve();
    (options.output ?? process).on("end", () => {
      void exited.then(() => endClient(client));
      process.end();
    });
    if (options.exited) void exited.then(() => setTimeout(() => (process.destroy(), endClient(client)), LAST_OUTPUT_MILLISECONDS).unref());
  });
}

/** Ends our side and, after a moment for the client to do the same, the connection. */
export function endClient(client: Duplex): void {
  if (client.destroyed || client.writableEnded) return;
  client.end();
  client.resume();
  const timer = setTimeout(() => client.destroy(), LINGER_MILLISECONDS);
  timer.unref();
  client.once("close", () => clearTimeout(timer));
}

/** Puts raw terminal output into frames: for a client that did not ask for the terminal that the process has. */
export function framing(): Transform {
  return new Transform({ transform: (chunk: Buffer, _encoding, done) => done(null, frame(1, chunk)) });
}

/** Takes frames apart again: for a client that asked for a terminal that the process does not have. */
export function unframing(): Transform {
  const reader = new FrameReader();
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (const { data } of reader.push(chunk)) this.push(data);
      done();
    },
  });
}

/** Resolves when the answer takes more, or its client has left. */
export function drained({ res, signal }: Pick<Call, "res" | "signal">): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.removeListener("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted) return resolve();
    res.once("drain", done);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** A part of a body whose head has been sent, in one write: Node would make three of it in chunked encoding. An answer that waits for an earlier one of its connection has no socket yet. */
export function writePart(res: ServerResponse, text: string): void {
  if (res.chunkedEncoding && res.socket) res.socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  else res.write(text);
}

/** The body of an answer. Ends early when the client leaves. */
export async function sendBytes(call: Call, bytes: AsyncIterable<Uint8Array>, headers: Record<string, string>): Promise<void> {
  const { res, signal } = call;
  if (isSendable(bytes) && isPlainConnection(call)) return await sendDirectly(call, bytes, headers);
  let isFirst = true;
  for await (const chunk of bytes) {
    if (signal.aborted) return;
    // Only now: what fails before the first byte is still answered as an error.
    if (isFirst) res.writeHead(200, headers);
    isFirst = false;
    if (!res.write(chunk)) await drained(call);
  }
  res.end();
}

/** Without TLS, for an answer in chunks. */
const isPlainConnection = ({ req, res }: Call): boolean => res.socket !== null && fdOf(res.socket) >= 0 && req.httpVersion === "1.1" && res.useChunkedEncodingByDefault;

/** Node writes the head and the last chunk. */
async function sendDirectly({ res, signal }: Call, bytes: SendableBytes, headers: Record<string, string>): Promise<void> {
  const { socket } = res;
  res.writeHead(200, headers);
  res.flushHeaders();
  await new Promise<void>((resolve) => (socket === null ? resolve() : socket.write("", () => resolve())));
  await bytes.sendTo({ fd: socket === null ? -1 : fdOf(socket), signal });
  res.end();
}
