/**
 * Hostile archives through each entry point: a layer of a load, the archive of a load itself, an import, a layer of a pull (test/security/copy-archives: `cp`).
 * The oracle is a canary tree beside the root, which must not change; a naive extractor shows that each escape would reach it (the positive control).
 */
import assert from "node:assert/strict";
import { closeSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Filters } from "../../src/lib/filters.ts";
import { type ErrorCode, codeOf } from "../../src/lib/errors.ts";
import { ArchiveStream, extract, openDirectory } from "../../src/sys/archive.ts";
import { type RawEntry, tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, load, openBench, pieces } from "./bench.ts";
import { type Ground, escapes, everyEscape, ground, naive, spelled, spellings } from "./escapes.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { malformed } from "./malformed.ts";
import { pullTag } from "./pull.fixture.ts";

const flagSets = [extract.owner | extract.xattrs | extract.devices | extract.whiteoutOverlay, extract.owner | extract.whiteoutApply, 0];

async function untar(root: string, bytes: Buffer, flags: number): Promise<void> {
  mkdirSync(root);
  const fd = openDirectory(root);
  using stream = new ArchiveStream({ root: fd, flags });
  closeSync(fd);
  await stream.push(bytes);
  await stream.finish();
}

test(`${escapes.length} escapes in ${Object.keys(spellings).length} spellings, untarred as layer, as copy and literally`, async (context) => {
  let attempts = 0;
  using target = ground();
  const before = target.state();
  for (const { name, entries } of escapes) {
    for (const how of Object.keys(spellings)) {
      const bytes = tarOf(...spelled(entries(target.canary), how));
      for (const flags of flagSets) await untar(join(target.root, String(attempts++)), bytes, flags).catch(() => undefined);
      assert.equal(target.state(), before, `${name}, ${how}`);
    }
  }
  context.diagnostic(`attempts ${attempts}, violations 0`);
});

test("control: an extractor that follows names reaches the canary with each of them", () => {
  for (const { name, entries } of escapes) {
    using control = ground();
    const before = control.state();
    naive(control.root, entries(control.canary));
    assert.notEqual(control.state(), before, name);
  }
});

/** What may be said of a bad archive. */
const refusals: ReadonlySet<ErrorCode> = new Set(["invalid-parameter", "data-loss", "system", "not-found", "forbidden", "conflict", "not-implemented"]);

type Enter = (bench: ImageBench, registry: FakeRegistry, bytes: Buffer) => Promise<unknown>;

const entrances: Record<string, Enter> = {
  "as a layer of a load": (bench, _, bytes) => load(bench, layoutOf("evil:1", [{ bytes }])),
  "as the archive of a load": (bench, _, bytes) => load(bench, bytes),
  "as an import": ({ images }, _, bytes) => images.import(pieces(bytes), { reference: undefined, platform: undefined, message: "", changes: [] }),
  "as a layer of a pull": (bench, registry, bytes) => {
    registry.tag("1", registry.addImage([{ bytes: tarOf({ name: "below/", type: "5" }) }, { bytes }]));
    return pullTag(bench, "1");
  },
};

/** All escapes, and of the malformed ones every so many, so that all entrances together see each. */
function archivesFor(entrance: string, { canary }: Ground): [name: string, bytes: Buffer][] {
  const every = Object.keys(entrances);
  const odd = Object.entries(malformed).filter((_, at) => at % (every.length - 1) === every.indexOf(entrance) % (every.length - 1));
  return [...everyEscape.map(({ name, entries }): [string, Buffer] => [name, tarOf(...entries(canary))]), ...odd.map(([name, make]): [string, Buffer] => [name, make()])];
}

test(`${Object.keys(malformed).length} malformed archives, untarred as layer, as copy and literally`, { timeout: 300_000 }, async (context) => {
  let [attempts, refused] = [0, 0];
  using target = ground();
  const before = target.state();
  for (const [name, make] of Object.entries(malformed)) {
    const bytes = make();
    for (const flags of flagSets) await untar(join(target.root, String(attempts++)), bytes, flags).catch(() => refused++);
    assert.equal(target.state(), before, name);
  }
  context.diagnostic(`attempts ${attempts}, refused ${refused}, violations 0`);
});

for (const [entrance, enter] of Object.entries(entrances)) {
  test(`hostile archives ${entrance}: nothing outside changes, the store goes on and nothing stays in it`, { timeout: 300_000 }, async (context) => {
    using around = ground();
    const registry = new FakeRegistry();
    await using bench = openBench({ dir: around.root, registries: registry });
    const archives = archivesFor(entrance, around);
    const state = around.state();
    const memory = process.memoryUsage.rss();
    let refused = 0;
    for (const [name, bytes] of archives) {
      const answer: unknown = await enter(bench, registry, bytes).catch((thrown: unknown) => thrown);
      assert.equal(around.state(), state, name);
      if (answer instanceof Error) assert.ok(refusals.has(codeOf(answer)), `${name}: ${answer.stack}`);
      if (answer instanceof Error || /Error unpacking/.test(String(answer))) refused++;
    }
    assert.ok(process.memoryUsage.rss() - memory < 300 << 20, `${(process.memoryUsage.rss() - memory) >> 20} MiB more`);
    await load(bench, layoutOf("good:1", [{ bytes: tarOf({ name: "f", data: "good" }) }]));
    await bench.images.layers.create("container", bench.images.resolve("good:1"));
    await bench.images.layers.remove("container");
    await bench.images.prune({ filters: new Filters(new Map([["dangling", new Set(["false"])]])) });
    assert.deepEqual([bench.images.count(), bench.content.list(), bench.content.ingests(), bench.snapshotter.list()], [0, [], [], []]);
    context.diagnostic(`archives ${archives.length}, refused ${refused}, violations 0`);
  });
}

/** The canary's path inside of the image: what leads there finds this one. */
function likeTheCanary(canary: string): RawEntry[] {
  const parts = canary.slice(1).split("/");
  const folders = [...parts.map((_, at) => parts.slice(0, at + 1).join("/")), `${parts.join("/")}/sub`];
  return [...folders.map((name) => ({ name: `${name}/`, type: "5" })), { name: `${parts.join("/")}/file`, data: "inside" }, { name: `${parts.join("/")}/sub/file`, data: "inside" }];
}

/** What an earlier layer links to is resolved inside of what the layers are together. */
for (const driver of ["overlay2", "vfs"] as const) {
  test(`escapes over two layers with ${driver}: nothing outside changes`, { timeout: 300_000 }, async (context) => {
    using around = ground();
    await using bench = openBench({ dir: around.root, driver });
    const state = around.state();
    let [attempts, unpacked] = [0, 0];
    for (const { name, layers } of escapes) {
      const both = layers(around.canary);
      if (!both) continue;
      const [lower, upper] = both;
      const said = await load(bench, layoutOf("evil:1", [[...likeTheCanary(around.canary), ...lower], upper].map((entries) => ({ bytes: tarOf(...spelled(entries, "plain")) }))));
      assert.equal(around.state(), state, name);
      attempts++;
      if (!said.includes("Error unpacking")) unpacked++;
    }
    context.diagnostic(`attempts ${attempts}, violations 0, unpacked inside ${unpacked}`);
    assert.ok(unpacked > attempts / 2, `${unpacked} of ${attempts} find what they rely on`);
  });
}
