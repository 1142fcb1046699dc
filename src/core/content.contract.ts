/** What every content store must do. Run with a store's constructor. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Digest, digestOf } from "../lib/digest.ts";
import type { ContentStore } from "./content.ts";

const bytes = Buffer.alloc(300_000, "content of a blob, line by line\n");
const blob = { digest: digestOf(bytes), size: bytes.length };

export function contentContract(name: string, create: (dir: string) => ContentStore): void {
  const inFolder = (what: string, body: (store: ContentStore, again: () => ContentStore, dir: string) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      const dir = mkdtempSync(join(tmpdir(), "gantry-content-"));
      try {
        await body(create(dir), () => create(dir), dir);
      } finally {
        rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
      }
    });
  };

  inFolder("a document is there once it is written, by its digest, for the next store too", async (store, again) => {
    const before = store.generation;
    const digest = store.write(Buffer.from("text"));
    assert.equal(digest, digestOf("text"));
    assert.notEqual(store.generation, before);
    for (const one of [store, again()]) {
      assert.deepEqual([one.has(digest), one.size(digest), one.list(), one.read(digest, 10).toString()], [true, 4, [digest], "text"]);
      assert.equal(await one.verify(digest), true);
      assert.throws(() => one.read(digest, 3), { code: "invalid-parameter" });
    }
    store.delete(digest);
    assert.deepEqual([store.has(digest), store.size(digest), store.list(), store.strays()], [false, undefined, [], []]);
    assert.throws(() => store.read(digest, 10), { code: "not-found" });
    assert.equal(await store.verify(digest), false);
  });

  inFolder("what is deleted takes no room once that has settled", async (store, _again, dir) => {
    const files = (): string[] => readdirSync(dir, { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []));
    const before = files();
    store.delete(store.write(bytes));
    await store.settled();
    assert.deepEqual(files(), before);
  });

  inFolder("what arrives is a blob when its digest is the expected one, and nothing otherwise", async (store) => {
    {
      await using receiver = store.receive();
      await receiver.push(bytes.subarray(0, 100));
      await receiver.push(bytes.subarray(100));
      const named: boolean[] = [];
      const received = await receiver.finish({ expected: blob.digest, naming: (digest) => named.push(store.has(digest)) });
      assert.deepEqual(named, [false], "told before it can be found");
      assert.deepEqual([received.digest, received.size, received.compression], [blob.digest, blob.size, "plain"]);
    }
    assert.deepEqual(await collected(store, blob.digest, 1000), bytes.subarray(1000));
    {
      await using receiver = store.receive();
      await receiver.receive((async function* () {
        yield bytes.subarray(0, 7);
        yield bytes.subarray(7);
      })());
      assert.equal((await receiver.finish({ expected: blob.digest })).size, blob.size);
    }
    {
      await using receiver = store.receive();
      await receiver.push(Buffer.from("other"));
      await assert.rejects(receiver.finish({ expected: blob.digest }), /failed to verify/);
    }
    {
      await using left = store.receive();
      await left.push(Buffer.from("left"));
    }
    assert.deepEqual([store.list(), store.strays()], [[blob.digest], []]);
  });

  inFolder("a download goes on where it was left, also in the next store, and is a blob only when it is whole", async (store, again) => {
    {
      await using ingest = store.ingest(blob);
      assert.throws(() => store.ingest(blob), { code: "conflict" });
      assert.throws(() => store.abort(blob.digest), { code: "conflict" });
      await ingest.write([bytes.subarray(0, 1000), bytes.subarray(1000, 5000)]);
      assert.equal(ingest.offset, 5000);
      assert.deepEqual(store.ingests().map(({ ref, offset, total, open }) => [ref, offset, total, open]), [[blob.digest, 5000, blob.size, true]]);
      await assert.rejects(ingest.commit(), { code: "data-loss" });
    }
    const next = again();
    assert.deepEqual([next.has(blob.digest), next.list()], [false, []]);
    assert.deepEqual(next.ingests().map(({ offset, open }) => [offset, open]), [[5000, false]]);
    {
      await using ingest = next.ingest(blob);
      assert.equal(ingest.offset, 5000);
      await assert.rejects(ingest.write([Buffer.alloc(blob.size)]), { code: "data-loss" });
      await ingest.write([bytes.subarray(5000)]);
      await ingest.commit();
    }
    assert.deepEqual([next.ingests(), next.list()], [[], [blob.digest]]);
    assert.equal(await next.verify(blob.digest), true);
  });

  inFolder("a download of other bytes is refused, and nothing of it is kept", async (store) => {
    {
      await using ingest = store.ingest(blob);
      await ingest.write([Buffer.alloc(blob.size, 1)]);
      await assert.rejects(ingest.commit(), { code: "data-loss", message: /^failed to verify content: expected sha256:\w+, got sha256:\w+$/ });
    }
    assert.deepEqual([store.ingests(), store.list()], [[], []]);
  });

  inFolder("a download that was left can be dropped; one without a byte leaves nothing", async (store) => {
    {
      await using ingest = store.ingest(blob);
      await ingest.write([bytes.subarray(0, 10)]);
    }
    store.abort(blob.digest);
    {
      await using _ = store.ingest(blob);
    }
    assert.deepEqual([store.ingests(), store.strays()], [[], []]);
    await assert.rejects(async () => store.ingest({ digest: blob.digest, size: Number.MAX_SAFE_INTEGER }), { code: "system", message: /no space left on device/ });
  });
}

async function collected(store: ContentStore, digest: Digest, offset: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of store.stream(digest, offset)) parts.push(part);
  return Buffer.concat(parts);
}
