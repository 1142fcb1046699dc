/** Pulls that are killed at each of their steps, and pulls onto a full disk. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openBench } from "./bench.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { pullOnce, size } from "./pull.fixture.ts";

const program = `
  const { openBench } = await import(process.env.BENCH);
  const { pullOnce } = await import(process.env.FIXTURE);
  const { FakeRegistry } = await import(process.env.REGISTRY);
  const registry = new FakeRegistry();
  await pullOnce(openBench({ dir: process.env.DIR, registries: registry }), registry);
`;
const modules = { BENCH: join(import.meta.dirname, "bench.ts"), FIXTURE: join(import.meta.dirname, "pull.fixture.ts"), REGISTRY: join(import.meta.dirname, "fake-registry.ts") };

/** What was fetched before the step, and is not fetched again. */
const points: [point: string, times: number, had: "nothing" | "part" | "layers"][] = [
  ["image-pull-manifest", 1, "nothing"],
  ["image-pull-manifest", 2, "nothing"],
  ["image-pull-config", 1, "nothing"],
  ["image-blob-arriving", 1, "part"],
  ["image-blob-arriving", 7, "part"],
  ["blob-arrived", 1, "part"],
  ["blob-placed", 2, "part"],
  ["image-blob-downloaded", 2, "part"],
  ["image-layer-unpacked", 1, "part"],
  ["image-layer-committed", 1, "part"],
  ["image-layer-committed", 2, "part"],
  ["image-pull-whole", 1, "layers"],
  ["image-pull-named", 1, "layers"],
];

for (const [point, times, had] of points) {
  test(`killed in a pull at ${point}, time ${times}: no half image, nothing lost, nothing left over`, async () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-pull-crash-"));
    try {
      const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { env: { ...process.env, ...modules, DIR: dir, GANTRY_FAULT: `${point}:${times}` }, encoding: "utf8" });
      assert.equal(signal, "SIGKILL", stderr);
      const registry = new FakeRegistry();
      await using bench = openBench({ dir, registries: registry });
      const before = bench.content.ingests().reduce((sum, { offset }) => sum + offset, 0);
      await bench.images.collect({ containers: new Set() });
      assert.equal(bench.images.count(), point === "image-pull-named" ? 1 : 0);
      const kept = before + bench.content.list().reduce((sum, digest) => sum + (bench.content.size(digest) ?? 0), 0);
      if (had === "part") assert.ok(kept > 60_000, `${kept} bytes were kept`);
      await pullOnce(bench, registry);
      const fetched = registry.sent.reduce((sum, bytes) => sum + bytes, 0);
      assert.ok(fetched + kept < size + 20_000, `${kept} bytes were here, ${fetched} of ${size} were fetched`);
      if (had === "layers") assert.equal(fetched, 0);
      await bench.images.layers.create("container", bench.images.resolve("r.test/x:1"));
      await bench.images.layers.remove("container");
      await bench.images.remove("r.test/x:1", {});
      await bench.images.collect({ containers: new Set() });
      await bench.snapshotter.settled();
      assert.deepEqual([bench.content.list(), bench.snapshotter.list(), readdirSync(join(dir, "content/ingest")), readdirSync(join(dir, "layers/overlay2/trash"), { recursive: true }).sort()], [[], [], [], ["0", "1"]]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

/** Small file systems in a mount namespace of their own; they end with it. */
const disks = {
  tmpfs: "mount -t tmpfs -o size=20m tmpfs $DIR",
  ext4: "truncate -s 64m $DIR.disk && mkfs.ext4 -q -m 0 -O ^has_journal $DIR.disk && mount -o loop $DIR.disk $DIR && dd if=/dev/zero of=$DIR/ballast bs=1k count=$(($(df -k --output=avail $DIR | tail -1) - 20480)) 2>/dev/null",
};
const canLoop = spawnSync("sh", ["-c", "command -v mkfs.ext4 && test -e /dev/loop-control"]).status === 0;

for (const [kind, mounting] of Object.entries(disks)) {
  test(`no room for a layer on ${kind}: refused before it is fetched; a disk that fills up meanwhile: a clear error, and the pull goes on later`, { skip: kind === "tmpfs" || canLoop ? false : "no mkfs.ext4 or no loop devices" }, () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-pull-disk-"));
    const script = `
      const { openBench } = await import(process.env.BENCH);
      const { pullOnce } = await import(process.env.FIXTURE);
      const { FakeRegistry } = await import(process.env.REGISTRY);
      const { execFileSync } = await import("node:child_process");
      const registry = new FakeRegistry();
      const bench = openBench({ dir: process.env.DIR, registries: registry });
      const fill = (kilobytes) => execFileSync("sh", ["-c", "dd if=/dev/zero of=$DIR/fill bs=1k count=" + kilobytes + " 2>/dev/null || true"]);
      const tried = () => pullOnce(bench, registry).then(() => console.log("pulled"), (error) => console.log(error.code + ": " + error.message));
      fill(19_500);
      await tried();
      console.log(registry.sent.filter((bytes) => bytes > 10_000).length);
      fill(1);
      let filled = false;
      registry.pace = (_, offset) => {
        if (offset > 0 && !filled) fill(30_000);
        filled ||= offset > 0;
      };
      await tried();
      fill(1);
      await tried();
      console.log(bench.images.resolve("r.test/x:1").ref);
      process.exit();
    `;
    try {
      mkdirSync(join(dir, "disk"));
      const mount = `${mounting} && exec ${process.execPath} --input-type=module -e "$0"`;
      const said = execFileSync("unshare", ["-m", "--propagation", "private", "sh", "-c", mount, script], { env: { ...process.env, ...modules, DIR: join(dir, "disk") }, encoding: "utf8" });
      const [refused, fetched, full, ...rest] = said.trim().split("\n");
      assert.match(refused ?? "", /^system: no space left on device: \d+ bytes of sha256:\w+ are to come$/);
      assert.equal(fetched, "0");
      assert.match(full ?? "", /^system: .*no space left on device/i);
      assert.deepEqual(rest, ["pulled", "r.test/x:1"], said);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
