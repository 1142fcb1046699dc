/** Killed at each step of load and import, on a full disk, on a read-only one: what is left is complete or collected, and errors are clear. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { digestOf } from "../../src/lib/digest.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { layoutOf, load, openBench, pieces } from "./bench.ts";

const layer = (name: string): Buffer => tarOf({ name: "d/", type: "5", mode: 0o755 }, { name: `d/${name}`, data: name.repeat(1000) });
const archive = layoutOf("docker.io/library/x:1", [{ bytes: layer("one") }, { bytes: gzipSync(layer("two")), diffId: digestOf(layer("two")), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" }]);

const program = `
  const { openBench, load, pieces } = await import(process.env.BENCH);
  const { readFileSync } = await import("node:fs");
  const bench = openBench({ dir: process.env.DIR });
  const bytes = readFileSync(process.env.ARCHIVE);
  if (process.env.WHAT === "load") await load(bench, bytes);
  else await bench.images.import(pieces(bytes), { reference: { domain: "docker.io", path: "library/x", tag: "1" }, platform: undefined, message: "", changes: [] });
`;

const points: [what: "load" | "import", fault: string][] = [
  ["load", "image-load-received"],
  ["load", "image-load-adopted:1"],
  ["load", "image-load-adopted:2"],
  ["load", "image-load-adopted:4"],
  ["load", "image-layer-unpacked:1"],
  ["load", "image-layer-unpacked:2"],
  ["load", "image-layer-committed:1"],
  ["load", "image-layer-committed:2"],
  ["load", "image-load-whole"],
  ["import", "image-import-received"],
  ["import", "image-import-synced"],
];

for (const [what, fault] of points) {
  test(`killed in ${what} at ${fault}: nothing is named, nothing is left, and the same works afterwards`, async () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-crash-"));
    try {
      const bytes = what === "load" ? archive : layer("one");
      writeFileSync(join(dir, "archive"), bytes);
      const env = { ...process.env, BENCH: join(import.meta.dirname, "bench.ts"), DIR: dir, ARCHIVE: join(dir, "archive"), WHAT: what, GANTRY_FAULT: fault };
      const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { env, encoding: "utf8" });
      assert.equal(signal, "SIGKILL", stderr);
      await using bench = openBench({ dir });
      await bench.images.collect({ containers: new Set() });
      await bench.snapshotter.settled();
      assert.equal(bench.images.count(), 0);
      const left = [bench.content.list(), bench.snapshotter.list(), readdirSync(join(dir, "content/ingest")), readdirSync(join(dir, "layers/overlay2/trash"), { recursive: true }).sort()];
      assert.deepEqual(left, [[], [], [], ["0", "1"]]);
      if (what === "load") await load(bench, bytes);
      else await bench.images.import(pieces(bytes), { reference: { domain: "docker.io", path: "library/x", tag: "1" }, platform: undefined, message: "", changes: [] });
      await bench.images.layers.create("container", bench.images.resolve("x:1"));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

/** A small tmpfs, in a mount namespace of its own: what the command prints. */
function onSmallDisk(size: string, script: string, extra: Record<string, string> = {}): string {
  const dir = mkdtempSync(join(tmpdir(), "gantry-disk-"));
  try {
    mkdirSync(join(dir, "disk"));
    writeFileSync(join(dir, "archive"), extra["big"] === undefined ? archive : layoutOf("docker.io/library/big:1", [{ bytes: tarOf({ name: "f", data: "y".repeat(64 << 20) }) }]));
    const env = { ...process.env, ...extra, BENCH: join(import.meta.dirname, "bench.ts"), DIR: join(dir, "disk"), ARCHIVE: join(dir, "archive") };
    const mount = `mount -t tmpfs -o size=${size} tmpfs ${join(dir, "disk")} && exec ${process.execPath} --input-type=module -e "$0"`;
    return execFileSync("unshare", ["-m", "--propagation", "private", "sh", "-c", mount, script], { env, encoding: "utf8" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const prelude = `
  const { openBench, load, pieces } = await import(process.env.BENCH);
  const { readFileSync } = await import("node:fs");
  const { execFileSync } = await import("node:child_process");
  const bytes = readFileSync(process.env.ARCHIVE);
  const message = (error) => console.log(error.code + ": " + error.message);
`;

test("too little disk for an archive: refused before the disk is full, and the store goes on", () => {
  const said = onSmallDisk("60m", `${prelude}
    const bench = openBench({ dir: process.env.DIR });
    await load(bench, bytes).catch(message);
    await bench.images.collect();
    await bench.snapshotter.settled();
    console.log(bench.content.list().length, bench.snapshotter.list().length, bench.images.count());
  `, { big: "1" });
  assert.match(said, /^system: invalid archive: no space left on device: archive is larger than allowed.*\n0 0 0\n$/);
});

test("a full disk gives a clear error and a store that goes on", () => {
  const said = onSmallDisk("20m", `${prelude}
    const bench = openBench({ dir: process.env.DIR });
    await load(bench, bytes);
    execFileSync("sh", ["-c", "cat /dev/zero > $DIR/fill 2>/dev/null || true"]);
    await bench.images.import(pieces(bytes), { reference: undefined, platform: undefined, message: "", changes: [] }).catch(message);
    await load(bench, bytes).catch(message);
    await bench.snapshotter.prepare("c", bench.images.resolve("x:1").chainId).catch(message);
    execFileSync("rm", [process.env.DIR + "/fill"]);
    await load(bench, bytes);
    await bench.snapshotter.prepare("d", bench.images.resolve("x:1").chainId);
    console.log(bench.images.resolve("x:1").ref);
  `);
  assert.match(said, /no space left on device/i);
  assert.match(said, /x:1\n$/);
});

test("a disk that fills up in the middle of a load, an import or a commit: a clear error, nothing is left over, and the same works when there is room", () => {
  const said = onSmallDisk("20m", `${prelude}
    const bench = openBench({ dir: process.env.DIR });
    const { images } = bench;
    await load(bench, bytes);
    await images.layers.create("c", images.resolve("x:1"));
    const [mount] = images.layers.mounts("c");
    const noise = (size) => Buffer.from(Array.from({ length: size >> 3 }, () => Math.random().toString(36).slice(2, 10)).join(""));
    const change = noise(1_000_000);
    execFileSync("sh", ["-c", 'cat > "$0"/change', mount.upper], { input: change });
    const fill = (kilobytes) => execFileSync("sh", ["-c", "dd if=/dev/zero of=$DIR/fill bs=1k count=" + kilobytes + " 2>/dev/null || true"]);
    const { tarOf } = await import(process.env.TAR);
    const { layoutOf } = await import(process.env.BENCH);
    const large = tarOf({ name: "large", data: noise(4_000_000) });
    const filling = async function* (all) {
      for await (const chunk of pieces(all)) {
        yield chunk;
        if (isFull === false) fill(30_000);
        isFull = true;
      }
    };
    let isFull;
    const base = images.resolve("x:1");
    const works = {
      load: (through) => images.load(through(layoutOf("docker.io/library/new:1", [{ bytes: large }])), { report: () => undefined }),
      import: (through) => images.import(through(large), { reference: undefined, platform: undefined, message: "", changes: [] }),
      commit: () => images.layers.commit({ containerId: "c", base: base.manifest, reference: undefined, parent: base.id, settings: base.config, createdBy: "", author: "", comment: "" }),
    };
    for (const [what, work] of Object.entries(works)) {
      isFull = false;
      if (what === "commit") fill(30_000);
      await work(filling).then(() => console.log("not full"), message);
      fill(1);
      await images.collect();
      await bench.snapshotter.settled();
      const { findings } = await images.audit({ containers: () => new Set(["c"]), patienceMilliseconds: 1 });
      console.log(JSON.stringify(findings.map(({ problem }) => problem)));
      await work(pieces);
      console.log(images.count());
    }
  `, { TAR: join(import.meta.dirname, "../../src/sys/tar.fixture.ts") });
  const lines = said.trim().split("\n");
  for (const [at, what] of ["the archive", "content", "content"].entries()) assert.match(lines[at * 3] ?? "", new RegExp(`^system: cannot receive ${what}: .*no space left on device`, "i"));
  assert.deepEqual(lines.filter((_, at) => at % 3 > 0), ["[]", "2", "[]", "3", "[]", "4"]);
});

test("read-only stores give clear errors, and what is there can be read", () => {
  const said = onSmallDisk("20m", `${prelude}
    const bench = openBench({ dir: process.env.DIR });
    await load(bench, bytes);
    await bench.snapshotter.settled();
    for (const part of ["content", "layers"]) {
      const path = process.env.DIR + "/" + part;
      execFileSync("mount", ["--bind", path, path]);
      execFileSync("mount", ["-o", "remount,bind,ro", path]);
    }
    await load(bench, bytes).catch(message);
    await bench.images.import(pieces(bytes), { reference: undefined, platform: undefined, message: "", changes: [] }).catch(message);
    await bench.snapshotter.prepare("c", bench.images.resolve("x:1").chainId).catch(message);
    console.log(bench.images.resolve("x:1").ref);
    console.log((await bench.images.remove("x:1", {})).length, bench.warnings.length > 0);
  `);
  const lines = said.trim().split("\n");
  assert.equal(lines.length, 5, said);
  for (const line of lines.slice(0, 3)) assert.match(line, /^system: .*(EROFS|[Rr]ead-only)/);
  assert.deepEqual(lines.slice(3), ["x:1", "2 true"]);
});
