import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { contentContract } from "../../core/content.contract.ts";
import { digestOf, hexOf } from "../../lib/digest.ts";
import { create } from "./index.ts";

contentContract("content-local", create);

test("content-local: a start keeps downloads of a day and drops what else a crash left of ingests", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-content-"));
  try {
    const store = create(dir);
    const [young, old] = [digestOf("young"), digestOf("old")];
    for (const digest of [young, old]) {
      await using ingest = store.ingest({ digest, size: 100 });
      await ingest.write([Buffer.from("part")]);
    }
    const ingests = join(dir, "ingest");
    utimesSync(join(ingests, hexOf(old), "data"), 0, 0);
    writeFileSync(join(ingests, "1-1"), "");
    mkdirSync(join(ingests, hexOf(digestOf("no state"))));
    mkdirSync(join(ingests, hexOf(digestOf("other state"))));
    writeFileSync(join(ingests, hexOf(digestOf("other state")), "state.json"), "{}");
    assert.deepEqual(create(dir).ingests().map(({ ref }) => ref), [young]);
    assert.deepEqual(readdirSync(ingests), [hexOf(young)]);
    assert.equal(statSync(join(dir, "sha256")).mode & 0o077, 0);
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
});
