import assert from "node:assert/strict";
import { appendFileSync, chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Audit } from "../../src/core/audit.ts";
import { digestOf, hexOf } from "../../src/lib/digest.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, load, openBench } from "./bench.ts";

const base = tarOf({ name: "bin/", type: "5" }, { name: "bin/sh", data: "shell" });
const upper = tarOf({ name: "file", data: "text" });
const containers = new Set<string>();
const audit = ({ images }: ImageBench): Promise<Audit> => images.audit({ containers: () => containers, patienceMilliseconds: 1 });
const brief = ({ findings }: Audit): string[] => findings.map(({ kind, id, problem }) => `${kind} ${id.replace(/^\/.*\//, "")}: ${problem}`);

test("nothing is wrong with what was made in order", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: upper }]));
  containers.clear();
  containers.add("mine");
  await bench.images.layers.create("mine", bench.images.resolve("x:1"));
  const { counts, findings } = await audit(bench);
  assert.deepEqual(findings, []);
  assert.deepEqual([counts["images"], counts["blobs"], counts["layers"], counts["downloads"]], [1, 4, 3, 0]);
});

test("what was changed, lost or left behind our back is found, and repaired where nothing of users is at stake", async () => {
  await using bench = openBench();
  containers.clear();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: upper }]));
  const blob = join(bench.dir, "content/sha256", hexOf(digestOf(upper)));
  chmodSync(blob, 0o644);
  appendFileSync(blob, "more");
  const lonely = bench.content.write(Buffer.from("lonely"));
  writeFileSync(join(bench.dir, "content/sha256/notes.txt"), "");
  await bench.snapshotter.prepare("nobody", undefined);
  mkdirSync(join(bench.dir, "content/other"));
  const found = await audit(bench);
  assert.deepEqual(brief(found).sort(), [
    `blob ${digestOf(upper)}: its bytes are not those of its digest`,
    `blob ${lonely}: no image has it`,
    "file notes.txt: it is no blob and no download",
    "file other: it is no blob and no download",
    "layer nobody: no image and no container has it",
  ].sort());
  for (const { repair } of found.findings) await repair?.();
  assert.deepEqual(brief(await audit(bench)), [`image x:1: its layer ${digestOf(upper)} is missing`]);
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: upper }]));
  assert.deepEqual(brief(await audit(bench)), []);
});

test("a missing manifest and a missing parent", async () => {
  await using bench = openBench();
  containers.clear();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: upper }]));
  const { id } = bench.images.resolve("x:1");
  await bench.snapshotter.remove(digestOf(base));
  const found = await audit(bench);
  assert.deepEqual(found.findings.map(({ kind, problem }) => [kind, problem]), [["layer", `its parent ${digestOf(base)} is missing`]]);
  await found.findings[0]?.repair?.();
  await bench.images.layers.create("again", bench.images.resolve("x:1"));
  containers.add("again");
  assert.deepEqual(brief(await audit(bench)), []);
  bench.content.delete(id);
  assert.match(brief(await audit(bench)).join("\n"), /image x:1: its manifest sha256:\w+ is missing/);
});
