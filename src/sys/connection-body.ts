/** Archives that arrive: in a request whose body is still in its connection (native/addon/body.c reads that), or as pieces. */
import { closeSync } from "node:fs";
import { type ConnectionBody, UnreadBody } from "../lib/connection-body.ts";
import { addon } from "./addon.ts";
import type { ArchiveResult, ArchiveStream } from "./archive.ts";
import { decompressed, needsProgram } from "./decompress.ts";

export type BodyHandle = { readonly body: unique symbol };
const native = addon as unknown as {
  bodyOpen(fd: number, head: Uint8Array, length: number): BodyHandle;
  bodyPeek(body: BodyHandle): Promise<Buffer>;
  bodyWrite(body: BodyHandle, out: number): Promise<void>;
  bodyClose(body: BodyHandle): void;
  pipe(): [number, number];
};

/** All of an archive, in any compression that there is here. Undefined when no byte came. An AbortError when its sender has left. */
export async function receiveArchive(archive: ArchiveStream, bytes: AsyncIterable<Uint8Array>): Promise<ArchiveResult | undefined> {
  return bytes instanceof UnreadBody ? await receiveBody(archive, bytes.connection) : await pushAll(archive, decompressed(bytes));
}

async function pushAll(archive: ArchiveStream, bytes: AsyncIterable<Uint8Array>): Promise<ArchiveResult | undefined> {
  let isEmpty = true;
  for await (const chunk of bytes) {
    isEmpty = false;
    await archive.push(chunk);
  }
  return isEmpty ? undefined : await archive.finish();
}

async function receiveBody(archive: ArchiveStream, connection: ConnectionBody): Promise<ArchiveResult | undefined> {
  const { head, length, signal, fd } = connection;
  if (fd < 0) throw left();
  const body = native.bodyOpen(fd, head, length ?? -1);
  const close = (): void => native.bodyClose(body);
  signal.addEventListener("abort", close, { once: true });
  if (signal.aborted) close();
  try {
    const first = await native.bodyPeek(body);
    if (first.length === 0) return undefined;
    return await (needsProgram(first) ? pushAll(archive, decompressed(piecesOf(body))) : archive.receive(body));
  } catch (error) {
    throw hasLeft(error) ? left() : error;
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}

const left = (): DOMException => new DOMException("the client went away", "AbortError");
const hasLeft = (error: unknown): boolean => ["ECONNRESET", "ECANCELED"].includes((error as NodeJS.ErrnoException).code ?? "");

async function* piecesOf(body: BodyHandle): AsyncGenerator<Uint8Array> {
  const { Socket } = process.getBuiltinModule("node:net");
  const [readable, writable] = native.pipe();
  const stream = new Socket({ fd: readable, readable: true, writable: false });
  const written = native.bodyWrite(body, writable);
  written.catch(() => undefined);
  closeSync(writable);
  try {
    yield* stream as AsyncIterable<Uint8Array>;
    await written;
  } finally {
    stream.destroy();
    native.bodyClose(body);
    await written.catch(() => undefined);
  }
}
