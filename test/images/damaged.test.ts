/** Blobs that somebody changes on the disk: what needs them says so, all else works, and another load puts it right. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Filters } from "../../src/lib/filters.ts";
import { type Digest, digestOf, hexOf } from "../../src/lib/digest.ts";
import { readManifest } from "../../src/lib/oci-image.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, load, openBench } from "./bench.ts";

const [own, other] = [tarOf({ name: "own", data: "o" }), tarOf({ name: "other", data: "o" })];
const hurt = layoutOf("docker.io/library/hurt:1", [{ bytes: own }]);

type Part = "manifest" | "configuration" | "layer";

function digestFor({ images, content }: ImageBench, part: Part): Digest {
  const { id } = images.resolve("hurt:1");
  const manifest = readManifest(content.read(id, 1 << 20));
  assert.equal(manifest.kind, "manifest");
  if (part === "manifest" || manifest.kind !== "manifest") return id;
  return part === "configuration" ? manifest.config.digest : digestOf(own);
}

const changes: Record<string, (size: number) => Buffer> = { "other bytes": (size) => Buffer.alloc(size, "x"), "cut off": (size) => Buffer.alloc(size >> 1), "an endless document": () => Buffer.alloc(9 << 20, " "), empty: () => Buffer.alloc(0) };

for (const part of ["manifest", "configuration", "layer"] as const) {
  for (const [at, [what, change]] of Object.entries(changes).entries()) {
    const repairing = at % 2 === 1;
    test(`a ${part} that became ${what}: ${repairing ? "a repair and then" : "just"} another load`, async () => {
      const dir = mkdtempSync(join(tmpdir(), "gantry-damaged-"));
      try {
        {
          await using bench = openBench({ dir });
          await load(bench, hurt);
          await load(bench, layoutOf("docker.io/library/whole:1", [{ bytes: other }]));
          const digest = digestFor(bench, part);
          const path = join(dir, "content/sha256", hexOf(digest));
          chmodSync(path, 0o644);
          writeFileSync(path, change(bench.content.size(digest) ?? 0));
        }
        await using bench = openBench({ dir });
        const { images } = bench;
        await images.recover();
        await images.collect({ containers: new Set() });
        const names = (await images.list({ filters: new Filters(new Map()), sharedSize: true, manifests: true })).flatMap(({ RepoTags }) => RepoTags).sort();
        assert.deepEqual(names, ["hurt:1", "whole:1"]);
        await images.usage();
        await images.layers.create("container", images.resolve("whole:1"));
        if (part !== "layer") {
          const damaged = { message: /^content sha256:\w+ (is damaged on disk|has \d+ bytes, more than \d+)$/ };
          await assert.rejects(images.inspect("hurt:1", { platform: undefined, manifests: false }), damaged);
          assert.throws(() => images.resolve("hurt:1"), damaged);
        }
        const { findings } = await images.audit({ containers: () => new Set(["container"]), patienceMilliseconds: 1 });
        assert.ok(findings.some(({ problem }) => problem === "its bytes are not those of its digest"), JSON.stringify(findings));
        if (repairing) for (const { repair } of findings) await repair?.();
        await load(bench, hurt);
        assert.deepEqual((await images.audit({ containers: () => new Set(["container"]), patienceMilliseconds: 1 })).findings, []);
        await images.layers.create("again", images.resolve("hurt:1"));
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
}
