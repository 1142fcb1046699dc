/** Killed at each step of rmi, prune and garbage collection: what others have stays whole, what was removed is gone or all there, nothing is left over. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { layoutOf, load, openBench } from "./bench.ts";

const base = { bytes: tarOf({ name: "base", data: "b".repeat(10_000) }) };
const own = (name: string): { bytes: Buffer } => ({ bytes: tarOf({ name, data: name.repeat(1000) }) });

const program = `
  const { openBench } = await import(process.env.BENCH);
  const { Filters } = await import(process.env.FILTERS);
  const { images } = openBench({ dir: process.env.DIR });
  if (process.env.WHAT === "rmi") await images.remove("gone:1", {});
  else if (process.env.WHAT === "prune") await images.prune({ filters: new Filters(new Map([["dangling", new Set(["false"])], ["label!", new Set(["keep"])]])) });
  else await images.collect({ containers: new Set(["kept-container"]) });
`;

const points: [what: "rmi" | "prune" | "collect", fault: string][] = [
  ["rmi", "image-remove-unnamed"],
  ["rmi", "image-collect-begun"],
  ["rmi", "image-collect-blob:1"],
  ["rmi", "image-collect-blob:3"],
  ["rmi", "image-collect-layers"],
  ["prune", "image-prune-begun"],
  ["prune", "image-prune-unnamed"],
  ["prune", "image-collect-begun:2"],
  ["prune", "image-collect-blob:2"],
  ["prune", "image-collect-layers"],
  ["collect", "image-collect-begun"],
  ["collect", "image-collect-blob:1"],
  ["collect", "image-collect-layers"],
];

for (const [what, fault] of points) {
  test(`killed in ${what} at ${fault}`, async () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-removal-crash-"));
    try {
      {
        await using bench = openBench({ dir });
        await load(bench, layoutOf("docker.io/library/kept:1", [base, own("kept")], { Labels: { keep: "" } }));
        await load(bench, layoutOf("docker.io/library/gone:1", [base, own("gone")]));
        await bench.images.layers.create("kept-container", bench.images.resolve("kept:1"));
        await bench.images.layers.create("left-container", bench.images.resolve("kept:1"));
        bench.content.write(Buffer.from("nobody's"));
      }
      const modules = { BENCH: join(import.meta.dirname, "bench.ts"), FILTERS: join(import.meta.dirname, "../../src/lib/filters.ts") };
      const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { env: { ...process.env, ...modules, DIR: dir, WHAT: what, GANTRY_FAULT: fault }, encoding: "utf8" });
      assert.equal(signal, "SIGKILL", stderr);
      await using bench = openBench({ dir });
      const containers = new Set(["kept-container"]);
      await bench.images.collect({ containers });
      await bench.snapshotter.settled();
      assert.deepEqual((await bench.images.audit({ containers: () => containers, patienceMilliseconds: 1 })).findings, []);
      assert.deepEqual([readdirSync(join(dir, "content/ingest")), readdirSync(join(dir, "layers/overlay2/trash"), { recursive: true }).sort()], [[], ["0", "1"]]);
      const remains = bench.images.idOf("gone:1") !== undefined;
      assert.equal(remains, what === "collect" || fault === "image-prune-begun");
      assert.deepEqual([bench.content.list().length, bench.snapshotter.list().length], remains ? [7, 4] : [4, 3]);
      for (const name of remains ? ["kept:1", "gone:1"] : ["kept:1"]) {
        await bench.images.layers.create("trial", bench.images.resolve(name));
        await bench.images.layers.remove("trial");
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
