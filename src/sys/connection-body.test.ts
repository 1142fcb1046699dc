import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { UnreadBody } from "../lib/connection-body.ts";
import { ArchiveStream, openDirectory, tarFrom, writeOpenTree } from "./archive.ts";
import { receiveArchive } from "./connection-body.ts";
import { tarOf } from "./tar.fixture.ts";

interface Pair extends Disposable {
  folder: string;
  sender: Socket;
  fd: number;
}

/** Both ends of a connection; nobody reads ours. */
async function pair(): Promise<Pair> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-body-"));
  const server = createServer({ pauseOnConnect: true }).listen(join(folder, "socket"));
  await once(server, "listening");
  const sender = connect(join(folder, "socket"));
  sender.on("error", () => {});
  const [receiver] = (await once(server, "connection")) as [Socket];
  const { fd } = (receiver as unknown as { _handle: { fd: number } })._handle;
  const end = (): void => {
    for (const socket of [sender, receiver]) socket.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  };
  return { folder, sender, fd, [Symbol.dispose]: end };
}

const archive = tarOf({ name: "file", data: "content" }, { name: "folder/", type: "5" });

interface Sent {
  bytes: Uint8Array;
  /** Of the bytes, what came with the request's head. */
  head?: number;
  length?: number;
  signal?: AbortSignal;
}

async function receive({ folder, sender, fd }: Pair, { bytes, head = 0, length, signal = new AbortController().signal }: Sent): Promise<string> {
  const root = openDirectory(folder);
  try {
    using stream = new ArchiveStream({ root });
    sender.write(bytes.subarray(head));
    const result = await receiveArchive(stream, new UnreadBody({ fd, head: bytes.subarray(0, head), length, signal }));
    return result === undefined ? "nothing" : readFileSync(join(folder, "file"), "utf8");
  } finally {
    closeSync(root);
  }
}

function chunked(bytes: Buffer, { size = bytes.length, extension = "", trailer = "" } = {}): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    parts.push(Buffer.from(`${chunk.length.toString(16).toUpperCase()}${extension}\r\n`), chunk, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from(`0${extension}\r\n${trailer}\r\n`)]);
}

test("a body is read by its length or by its chunks, wherever the head's read has ended", async () => {
  const compressed = gzipSync(archive);
  const bodies: { bytes: Buffer; length?: number }[] = [
    { bytes: archive, length: archive.length },
    { bytes: compressed, length: compressed.length },
    { bytes: chunked(archive) },
    { bytes: chunked(archive, { size: 1 }) },
    { bytes: chunked(archive, { size: 5, extension: "; name=value" }) },
    { bytes: chunked(compressed, { size: 100, trailer: "X-Sum: 1\r\nX-More: 2\r\n" }) },
  ];
  for (const body of bodies) {
    for (const head of [0, 1, 2, 3, 4, 5, 100, body.bytes.length]) {
      using ends = await pair();
      assert.equal(await receive(ends, { ...body, head }), "content");
    }
  }
});

test("what comes behind the body is left alone", async () => {
  using ends = await pair();
  assert.equal(await receive(ends, { bytes: Buffer.concat([chunked(archive), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) }), "content");
});

test("an empty body is nothing", async () => {
  for (const sent of [{ bytes: Buffer.alloc(0), length: 0 }, { bytes: chunked(Buffer.alloc(0)) }]) {
    using ends = await pair();
    assert.equal(await receive(ends, sent), "nothing");
  }
});

test("a compression that needs a program gets it", async () => {
  using ends = await pair();
  const xz = execFileSync("xz", ["-c"], { input: archive });
  assert.equal(await receive(ends, { bytes: chunked(xz, { size: 7 }) }), "content");
});

test("chunks that are none are refused", async () => {
  const good = chunked(archive).toString("latin1");
  const bad = ["x\r\n", "\r\n", ";a\r\n", "-1\r\n", `${"f".repeat(17)}\r\n`, `5${" ".repeat(5000)}\r\n`, good.replace("\r\n0\r\n", "ab0\r\n"), "1\r\nab\r\n"];
  for (const text of bad) {
    using ends = await pair();
    await assert.rejects(receive(ends, { bytes: Buffer.from(text, "latin1") }), { code: "EBADMSG" }, JSON.stringify(text.slice(0, 20)));
  }
});

test("a sender that leaves, and one who is not wanted any more, end the work", async () => {
  for (const part of [3, 600]) {
    using ends = await pair();
    const received = receive(ends, { bytes: chunked(archive).subarray(0, part) });
    ends.sender.end();
    await assert.rejects(received, { name: "AbortError" });
  }
  using ends = await pair();
  const aborter = new AbortController();
  const received = receive(ends, { bytes: archive.subarray(0, 100), length: archive.length, signal: aborter.signal });
  setTimeout(() => aborter.abort(), 20);
  await assert.rejects(received, { name: "AbortError" });
});

/** The data of chunks, of which the last one is missing. */
function joined(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    assert.ok(size > 0);
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    assert.equal(bytes.toString("latin1", end + 2 + size, end + 4 + size), "\r\n");
    at = end + 4 + size;
  }
  return Buffer.concat(parts);
}

test("a tree goes into a connection as chunks of the same bytes that it gives in pieces", async () => {
  using ends = await pair();
  const tree = join(ends.folder, "tree");
  mkdirSync(tree);
  for (const [at, size] of [0, 1, 511, 512, 65_000, 65_536, 300_001, 2_000_000].entries()) writeFileSync(join(tree, `file-${at}`), Buffer.alloc(size, at));
  for (let at = 0; at < 300; at++) writeFileSync(join(tree, `small-${at}`), `${at}`);
  const source = (): ReturnType<typeof tarFrom> => {
    const dir = openDirectory(tree);
    return tarFrom(dir, (out) => writeOpenTree(dir, out));
  };
  const received: Buffer[] = [];
  ends.sender.on("data", (chunk: Buffer) => received.push(chunk));
  await source().sendTo({ fd: ends.fd, signal: new AbortController().signal });
  const pieces: Uint8Array[] = [];
  for await (const piece of source()) pieces.push(piece);
  const whole = Buffer.concat(pieces);
  const count = (): number => received.reduce((sum, { length }) => sum + length, 0);
  for (let before = -1; before !== count() || count() < whole.length; await new Promise((resolve) => setTimeout(resolve, 50))) before = count();
  assert.ok(joined(Buffer.concat(received)).equals(whole));
});

test("a receiver that leaves or waits for ever ends the sending", async () => {
  for (const leave of [true, false]) {
    using ends = await pair();
    writeFileSync(join(ends.folder, "large"), Buffer.alloc(4_000_000));
    const dir = openDirectory(ends.folder);
    const aborter = new AbortController();
    const sent = tarFrom(dir, (out) => writeOpenTree(dir, out)).sendTo({ fd: ends.fd, signal: aborter.signal });
    setTimeout(() => (leave ? ends.sender.destroy() : aborter.abort()), 20);
    await assert.rejects(sent, { name: "AbortError" });
  }
});
