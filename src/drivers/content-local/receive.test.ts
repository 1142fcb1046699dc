/** Blobs that are read off connections, with those who unpack them at the same time. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { BlobIngest, ContentStore, UnpackedBlob } from "../../core/content.ts";
import type { AnswerBody } from "../../lib/connection-body.ts";
import { digestOf } from "../../lib/digest.ts";
import { eventually } from "../../lib/eventually.testing.ts";
import { tarOf } from "../../sys/tar.fixture.ts";
import { create } from "./index.ts";

const files = Array.from({ length: 7 }, (_, at) => ({ name: `file-${at}`, data: randomBytes(1_000_003) }));
const layer = tarOf(...files);
const bytes = gzipSync(layer, { level: 1 });
const blob = { digest: digestOf(bytes), size: bytes.length };

async function inFolder(body: (store: ContentStore, dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-receive-"));
  try {
    await body(create(join(dir, "content")), dir);
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface Sent extends AsyncDisposable {
  body(length: number, options?: { head?: Uint8Array; signal?: AbortSignal; stallMilliseconds?: number }): AnswerBody;
}

/** A connection over which these bytes come; then its end, or nothing more. */
async function sent(parts: Buffer, { open = false } = {}): Promise<Sent> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write(parts, () => void (open || socket.end()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket: Socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.pause();
  await once(socket, "connect");
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  return {
    body: (length, { head = new Uint8Array(), signal = new AbortController().signal, stallMilliseconds = 30_000 } = {}) => ({ fd, head, length, signal, stallMilliseconds }),
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function receive(ingest: BlobIngest, until: number, headBytes = 0): Promise<Error | undefined> {
  const from = ingest.offset;
  await using connection = await sent(bytes.subarray(from + headBytes, until));
  return await ingest.receive(connection.body(bytes.length - from, { head: bytes.subarray(from, from + headBytes) }));
}

function unpack(store: ContentStore, dir: string): Promise<UnpackedBlob> {
  mkdirSync(dir);
  return store.unpack(blob.digest, { path: dir, whiteouts: "overlay", [Symbol.asyncDispose]: async () => undefined }, { needsParents: true });
}

test("a blob comes over several connections, in any pieces, beside what is written; all who follow get all of it", () =>
  inFolder(async (store, dir) => {
    await using ingest = store.ingest(blob);
    const early = unpack(store, join(dir, "early"));
    for (const [until, head] of [[1, 0], [4097, 500], [1_300_000, 0], [1_300_001, 1], [2_000_000, 700]] as const) {
      const broken = await receive(ingest, until, head);
      assert.deepEqual([broken?.message, ingest.offset], ["unexpected EOF", until]);
    }
    await ingest.write([bytes.subarray(2_000_000, 2_500_001), bytes.subarray(2_500_001, 2_600_000)]);
    const late = unpack(store, join(dir, "late"));
    assert.equal(await receive(ingest, bytes.length), undefined);
    await ingest.commit();
    assert.equal(await store.verify(blob.digest), true);
    for (const [name, work] of [["early", early], ["late", late]] as const) {
      assert.equal((await work).diffId, digestOf(layer));
      for (const file of files) assert.ok(readFileSync(join(dir, name, file.name)).equals(file.data), file.name);
    }
  }));

test("who stops waiting for the rest, or waits too long for it, keeps what has come; followers fail with the ingest", () =>
  inFolder(async (store, dir) => {
    const ingest = store.ingest(blob);
    const following = unpack(store, join(dir, "unpacked"));
    following.catch(() => undefined);
    for (const [until, expected] of [[900_000, "i/o timeout"], [1_800_000, "the body is not wanted any more"]] as const) {
      await using connection = await sent(bytes.subarray(ingest.offset, until), { open: true });
      const abort = new AbortController();
      const stalls = expected === "i/o timeout";
      const work = ingest.receive(connection.body(bytes.length - ingest.offset, { signal: abort.signal, ...(stalls ? { stallMilliseconds: 1000 } : {}) }));
      if (!stalls) {
        await eventually(() => assert.ok(ingest.offset > 900_000));
        abort.abort();
      }
      assert.equal((await work)?.message, expected);
      if (stalls) assert.equal(ingest.offset, until);
    }
    await assert.rejects(ingest.receive({ fd: 0, head: new Uint8Array(), length: bytes.length, signal: new AbortController().signal, stallMilliseconds: 1 }), { code: "data-loss" });
    const had = ingest.offset;
    await ingest[Symbol.asyncDispose]();
    await assert.rejects(following, { code: "cancelled" });
    await using next = store.ingest(blob);
    assert.equal(next.offset, had);
    assert.equal(await receive(next, bytes.length), undefined);
    await next.commit();
    assert.equal(await store.verify(blob.digest), true);
  }));

test("other bytes than the digest says are refused, and nothing of them is kept", () =>
  inFolder(async (store) => {
    const other = Buffer.from(bytes);
    other[1_000_000] = (other[1_000_000] ?? 0) ^ 1;
    await using ingest = store.ingest(blob);
    await using connection = await sent(other);
    assert.equal(await ingest.receive(connection.body(other.length)), undefined);
    await assert.rejects(ingest.commit(), { code: "data-loss" });
    assert.deepEqual([store.list(), store.ingests()], [[], []]);
  }));
