/** What a loss of power has taken is put right at the next start. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf, hexOf } from "../../src/lib/digest.ts";
import { until } from "../../src/lib/eventually.testing.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, openBench } from "./bench.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { pullTag } from "./pull.fixture.ts";

const lower = tarOf({ name: "lower", data: "whole" });
const upper = tarOf({ name: "upper", data: "whole" });
const unsynced = ({ database }: ImageBench): number => (database.prepare("SELECT count(*) AS count FROM image_unsynced").get() as { count: number }).count;
const fileOf = ({ dir }: { dir: string }, layer: Buffer, name: string): string => join(dir, "layers/overlay2", hexOf(digestOf(layer)), "diff", name);

async function pulledAndCut(registry: FakeRegistry): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-power-"));
  const target = registry.addImage([{ bytes: lower }, { bytes: upper }]);
  registry.tag("1", target);
  await using bench = openBench({ dir, registries: registry });
  await pullTag(bench, "1");
  /* The power goes before the disk has all, however slow this machine is. */
  bench.database.prepare("INSERT OR REPLACE INTO image_unsynced (digest, media_type, size, boot) VALUES (?, ?, ?, 'one')").run(target.digest, target.mediaType, target.size);
  bench.database.close();
  return dir;
}

test("after a start of the machine, files of layers that were cut off are whole again", async () => {
  const registry = new FakeRegistry();
  const dir = await pulledAndCut(registry);
  try {
    truncateSync(fileOf({ dir }, lower, "lower"), 0);
    await using bench = openBench({ dir, registries: registry, bootId: "two" });
    await bench.images.recover();
    assert.equal(readFileSync(fileOf(bench, lower, "lower"), "utf8"), "whole");
    writeFileSync(fileOf(bench, lower, "lower"), "kept");
    await bench.images.recover();
    assert.equal(readFileSync(fileOf(bench, lower, "lower"), "utf8"), "kept", "it is repaired once in a boot");
    await bench.images.layers.create("container", bench.images.resolve("r.test/x:1"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a blob that was cut off goes, and a pull fetches it again", async () => {
  const registry = new FakeRegistry();
  const dir = await pulledAndCut(registry);
  try {
    truncateSync(join(dir, "content/sha256", hexOf(digestOf(upper))), 100);
    await using bench = openBench({ dir, registries: registry, bootId: "two" });
    await bench.images.recover();
    assert.equal(bench.content.has(digestOf(upper)), false);
    await pullTag(bench, "1");
    assert.equal(await bench.content.verify(digestOf(upper)), true);
    await bench.images.layers.create("container", bench.images.resolve("r.test/x:1"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a start of the daemon alone unpacks nothing anew; a moment after a pull nothing waits any more", async () => {
  const registry = new FakeRegistry();
  const dir = await pulledAndCut(registry);
  try {
    writeFileSync(fileOf({ dir }, lower, "lower"), "kept");
    await using bench = openBench({ dir, registries: registry });
    await bench.images.recover();
    assert.equal(readFileSync(fileOf(bench, lower, "lower"), "utf8"), "kept");
    registry.tag("2", registry.addImage([{ bytes: tarOf({ name: "x" }) }]));
    await pullTag(bench, "2");
    await until("nothing waits", () => unsynced(bench) === 0);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
