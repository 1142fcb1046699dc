/** Needs ZFS in the kernel: where it is missing, the virtual machine runs it (npm run test:vm). */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { snapshotterContract } from "../../core/snapshotter.contract.ts";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { until } from "../../lib/eventually.testing.ts";
import { create } from "./index.ts";
import { datasetsOf, makePool, missing, type Pool } from "./pool.testing.ts";

const parent = `sha256:${"a".repeat(64)}`;
const MIB = 2 ** 20;

interface Bench extends AsyncDisposable {
  dir: string;
  snapshotter: Snapshotter;
  /** The dataset that all of its are in. */
  inside: string;
  /** Another daemon on the same folder. */
  reopen(): Promise<Snapshotter>;
}

async function layer(snapshotter: Snapshotter, fill: (path: string) => void): Promise<void> {
  await snapshotter.prepare("unpack-1");
  {
    await using target = await snapshotter.unpackTarget("unpack-1");
    fill(target.path);
  }
  await snapshotter.commit("unpack-1", parent);
}

const rootOf = (snapshotter: Snapshotter, key: string): string => {
  const [mount] = snapshotter.mounts(key);
  assert.ok(mount?.type === "bind");
  return mount.source;
};

if (missing !== undefined) test("zfs", { skip: `needs ${missing}` });
else withPool(makePool());

function withPool(pool: Pool): void {
  after(() => pool[Symbol.dispose]());
  snapshotterContract("zfs", create, ([mount]) => {
    assert.ok(mount?.type === "bind");
    return { path: mount.source, [Symbol.dispose]: () => undefined };
  }, () => pool.dir);

  let benches = 0;
  const bench = (base = pool.dir): Bench => {
    const dir = mkdtempSync(join(base, "gantry-zfs-"));
    const parentDataset = `${pool.name}/bench${++benches}`;
    execFileSync("zfs", ["create", parentDataset]);
    const open = (): Snapshotter => create(dir, { options: [`zfs.fsname=${parentDataset}`], initLayer: true });
    const made = {
      dir,
      inside: parentDataset,
      snapshotter: open(),
      async reopen() {
        await made.snapshotter.close?.();
        return (made.snapshotter = open());
      },
      async [Symbol.asyncDispose]() {
        for (const { key } of made.snapshotter.list()) await made.snapshotter.remove(key);
        await made.snapshotter.settled();
        assert.deepEqual(await made.snapshotter.strays?.(), []);
        await made.snapshotter.close?.();
        assert.deepEqual(datasetsOf(parentDataset), [], "datasets that are left");
        execFileSync("zfs", ["destroy", parentDataset]);
        rmSync(dir, { recursive: true });
      },
    };
    return made;
  };

  test("zfs: changes are found exactly, also those that leave size and time as they were; what containers always have is none", async () => {
    await using b = bench();
    const { snapshotter } = b;
    await layer(snapshotter, (path) => {
      for (const name of ["mode", "twin", "gone", "kept"]) writeFileSync(join(path, name), name);
    });
    await snapshotter.prepare("container", parent);
    {
      await using _mounted = await snapshotter.attach?.("container");
      const root = rootOf(snapshotter, "container");
      assert.ok(existsSync(join(root, ".dockerenv")));
      assert.deepEqual(await snapshotter.diff("container"), []);
      assert.equal((await snapshotter.usage("container")).inodes, 0);
      chmodSync(join(root, "mode"), 0o600);
      const { atime, mtime } = statSync(join(root, "twin"));
      writeFileSync(join(root, "twin"), "niwt");
      utimesSync(join(root, "twin"), atime, mtime);
      rmSync(join(root, "gone"));
    }
    assert.deepEqual((await snapshotter.diff("container")).map(({ kind, path }) => `${kind} ${path}`), ["deleted /gone", "modified /mode", "modified /twin"]);
    const chunks: Uint8Array[] = [];
    for await (const chunk of snapshotter.layer("container")) chunks.push(chunk);
    assert.deepEqual(execFileSync("tar", ["-t"], { input: Buffer.concat(chunks), encoding: "utf8" }).trim().split("\n").sort(), [".wh.gone", "mode", "twin"]);
  });

  test("zfs: a container takes no more than its size, beyond its image", async () => {
    await using b = bench();
    const { snapshotter } = b;
    await layer(snapshotter, (path) => writeFileSync(join(path, "image"), Buffer.alloc(12 * MIB, 1)));
    assert.deepEqual([snapshotter.limitFor({}), snapshotter.limitFor({ size: "0" }), snapshotter.limitFor({ size: "8M" })], [undefined, undefined, 8 * MIB]);
    assert.throws(() => snapshotter.limitFor({ size: "8X" }), { code: "invalid-parameter" });
    assert.throws(() => snapshotter.limitFor({ nosuch: "8M" }), { message: "Unknown option nosuch" });
    await snapshotter.prepare("limited", parent, { limit: 8 * MIB });
    await snapshotter.prepare("free", parent);
    {
      await using _limited = await snapshotter.attach?.("limited");
      await using _free = await snapshotter.attach?.("free");
      const fill = (key: string): void => {
        for (let at = 0; at < 32; at++) {
          writeFileSync(join(rootOf(snapshotter, key), `file-${at}`), Buffer.alloc(MIB, at + 1));
          execFileSync("sync", ["-f", rootOf(snapshotter, key)]);
        }
      };
      fill("free");
      assert.throws(() => fill("limited"), (error: NodeJS.ErrnoException) => error.errno === -122 || error.code === "ENOSPC");
    }
    const again = await b.reopen();
    assert.deepEqual([again.limitOf("limited"), again.limitOf("free")], [8 * MIB, undefined]);
  });

  test("zfs: who has a mount keeps it without the daemon, and a removed one goes with the last", async () => {
    await using b = bench(tmpdir());
    await layer(b.snapshotter, (path) => writeFileSync(join(path, "file"), "x"));
    await b.snapshotter.prepare("container", parent);
    const attached = await b.snapshotter.attach?.("container");
    const root = rootOf(b.snapshotter, "container");
    // As a container: bound to a place of its own.
    const place = mkdtempSync(join(tmpdir(), "gantry-zfs-place-"));
    const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", `mount --bind ${root} ${place} && umount ${root} && echo in; read -r _; cat ${place}/file`], { stdio: ["pipe", "pipe", "inherit"] });
    const said: string[] = [];
    holder.stdout.on("data", (data: Buffer) => said.push(data.toString()));
    await until("the holder has it", () => said.join("") === "in\n");
    await attached?.[Symbol.asyncDispose]();
    const again = await b.reopen();
    assert.ok(!existsSync(join(root, "file")), "here it is gone");
    {
      await using _mounted = await again.attach?.("container");
      assert.ok(existsSync(join(root, "file")));
    }
    const { length } = datasetsOf(b.inside);
    await again.remove("container");
    await again.settled();
    assert.equal(datasetsOf(b.inside).length, length, "it is in use");
    holder.stdin.end("\n");
    await until("the holder has ended", () => said.join("") === "in\nx");
    const last = await b.reopen();
    await last.settled();
    assert.equal(datasetsOf(b.inside).length, length - 1);
    rmSync(place, { recursive: true });
  });

  test("zfs: many at once, of one image, are made, mounted, compared and removed, and the image with them", async () => {
    await using b = bench();
    const { snapshotter } = b;
    await layer(snapshotter, (path) => writeFileSync(join(path, "file"), "x"));
    const keys = Array.from({ length: 6 }, (_, at) => `container-${at}`);
    await Promise.all(keys.map((key) => snapshotter.prepare(key, parent)));
    await Promise.all(
      keys.map(async (key) => {
        await using _mounted = await snapshotter.attach?.(key);
        await using _twice = await snapshotter.attach?.(key);
        writeFileSync(join(rootOf(snapshotter, key), key), key);
      }),
    );
    assert.deepEqual(await Promise.all(keys.map((key) => snapshotter.diff(key))), keys.map((key) => [{ kind: "added", path: `/${key}` }]));
    await Promise.all([parent, ...keys].map((key) => snapshotter.remove(key)));
  });

  test("zfs: what nothing knows of is found and destroyed, also at the start; others' datasets stay", async () => {
    await using b = bench();
    await using other = bench();
    await layer(b.snapshotter, () => undefined);
    await layer(other.snapshotter, () => undefined);
    const { inside } = b;
    const [made = ""] = datasetsOf(inside);
    const owner = execFileSync("zfs", ["get", "-H", "-o", "value", "gantry:layers", made], { encoding: "utf8" }).trim();
    const stray = `${inside}/${"e".repeat(64)}`;
    const makeStray = (): unknown => execFileSync("zfs", ["create", "-o", "mountpoint=legacy", "-o", `gantry:layers=${owner}`, stray]);
    execFileSync("zfs", ["create", `${inside}/of-a-user`]);
    makeStray();
    const [found, ...others] = (await b.snapshotter.strays?.()) ?? [];
    assert.deepEqual([found?.id, found?.problem, others], [stray, "the dataset belongs to no layer", []]);
    await found?.repair();
    assert.ok(!datasetsOf(inside).includes(stray));
    makeStray();
    await (await b.reopen()).settled();
    assert.ok(!datasetsOf(inside).includes(stray));
    execFileSync("zfs", ["destroy", `${inside}/of-a-user`]);
  });

  test("zfs: Docker's rows; the dataset is the one that the folder is in, unless one is named", async () => {
    const dir = join(pool.dir, "rows");
    mkdirSync(dir);
    const snapshotter = create(dir);
    const rows = Object.fromEntries(snapshotter.status());
    assert.deepEqual(Object.keys(rows), ["Zpool", "Zpool Health", "Parent Dataset", "Space Used By Parent", "Space Available", "Parent Quota", "Compression"]);
    assert.deepEqual([rows["Zpool"], rows["Zpool Health"], rows["Parent Dataset"], rows["Parent Quota"], rows["Compression"]], [pool.name, "ONLINE", pool.name, "no", "off"]);
    assert.match(rows["Space Available"] ?? "", /^\d{7,}$/);
    execFileSync("zfs", ["set", "quota=400M", pool.name]);
    await until("the new quota", () => snapshotter.status().some(([name, value]) => name === "Parent Quota" && value === String(400 * MIB)));
    execFileSync("zfs", ["set", "quota=none", pool.name]);
    await snapshotter.close?.();
    assert.throws(() => create(dir, { options: ["zfs.fsname=nosuch/at-all"] }), { message: /^Cannot find root filesystem nosuch\/at-all: .*dataset does not exist$/ });
    const elsewhere = mkdtempSync(join(tmpdir(), "gantry-zfs-"));
    assert.throws(() => create(elsewhere), { code: "unavailable", message: /prerequisites for driver not satisfied \(wrong filesystem\?\); --storage-opt zfs\.fsname names a dataset elsewhere$/ });
    rmSync(elsewhere, { recursive: true });
  });
}

test("zfs: options that it has not, and where ZFS is missing", () => {
  assert.throws(() => create("/nowhere/layers", { options: ["zfs.nosuch=1"] }), { code: "invalid-parameter", message: "Unknown option zfs.nosuch" });
  assert.throws(() => create("/nowhere/layers", { options: ["zfs.fsname=tank"], maps: { uids: [], gids: [] } }), { code: "unavailable", message: /--userns-remap does not work with the storage driver zfs/ });
  if (missing !== undefined) assert.throws(() => create("/nowhere/layers"), { code: "unavailable", message: /^the zfs storage driver needs / });
});
