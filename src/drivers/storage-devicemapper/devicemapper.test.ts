/** Needs the kernel's thin pools: where they are missing, the virtual machine runs it (npm run test:vm). */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, fsyncSync, mkdtempSync, openSync, readdirSync, rmSync, statfsSync, statSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { snapshotterContract } from "../../core/snapshotter.contract.ts";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { command } from "../../sys/device-mapper.ts";
import { attachLoop } from "../../sys/loop-device.ts";
import { openDeviceMapper } from "./open-pool.ts";
import { missing, small } from "./pool.testing.ts";
import { create } from "./index.ts";

const parent = `sha256:${"a".repeat(64)}`;
const MIB = 2 ** 20;
const skip = missing === undefined ? false : `needs ${missing}`;

if (missing !== undefined) test("devicemapper", { skip });
else {
  snapshotterContract("devicemapper", (dir) => create(dir, { options: small() }), ([mount]) => {
    assert.ok(mount?.type === "bind");
    return { path: mount.source, [Symbol.dispose]: () => undefined };
  });
}

interface Bench extends AsyncDisposable {
  dir: string;
  snapshotter: Snapshotter;
  /** Another daemon on the same folder. */
  reopen(options?: string[]): Promise<Snapshotter>;
}

function bench(options: string[] = small()): Bench {
  const dir = mkdtempSync(join(tmpdir(), "gantry-dm-"));
  const made = {
    dir,
    snapshotter: create(dir, { options, initLayer: true }),
    async reopen(others: string[] = options) {
      await made.snapshotter.close?.();
      return (made.snapshotter = create(dir, { options: others, initLayer: true }));
    },
    async [Symbol.asyncDispose]() {
      for (const { key } of made.snapshotter.list()) await made.snapshotter.remove(key);
      await made.snapshotter.settled();
      assert.deepEqual(await made.snapshotter.strays?.(), []);
      await made.snapshotter.close?.();
      assert.deepEqual(devicesOf(dir), [], "devices that are left");
      rmSync(dir, { recursive: true });
    },
  };
  return made;
}

/** Active ones. */
function devicesOf(dir: string): string[] {
  const dm = openDeviceMapper();
  const names = dm.names().filter((name) => name.includes(`-${statSync(dir).ino}-`));
  dm.close();
  return names;
}

async function layer(snapshotter: Snapshotter, fill: (path: string) => void, name: string = parent): Promise<void> {
  await snapshotter.prepare("unpack-1");
  {
    await using target = await snapshotter.unpackTarget("unpack-1");
    fill(target.path);
  }
  await snapshotter.commit("unpack-1", name);
}

const rootOf = (snapshotter: Snapshotter, key: string): string => {
  const [mount] = snapshotter.mounts(key);
  assert.ok(mount?.type === "bind");
  return mount.source;
};

function writeDurably(path: string, megabytes: number): void {
  const fd = openSync(path, "w");
  try {
    for (let at = 0; at < megabytes; at++) writeSync(fd, Buffer.alloc(MIB, 1));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

test("devicemapper: changes are found exactly, also those that leave size and time as they were; what containers always have is none", { skip }, async () => {
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
  assert.deepEqual(devicesOf(b.dir).filter((name) => !name.endsWith("-pool")), [], "nothing is active between uses");
});

test("devicemapper: a container's size is at least the base's, and is what it has", { skip }, async () => {
  await using b = bench();
  const { snapshotter } = b;
  await layer(snapshotter, () => undefined);
  assert.equal(snapshotter.limitFor({}), undefined);
  assert.throws(() => snapshotter.limitFor({ size: "10M" }), { code: "invalid-parameter", message: "devmapper: Container size cannot be smaller than 67.11MB" });
  assert.equal(snapshotter.limitFor({ size: "128M" }), 128 * MIB);
  await snapshotter.prepare("container", parent, { limit: 128 * MIB });
  await snapshotter.prepare("other", parent);
  const sizes: number[] = [];
  for (const key of ["container", "other"]) {
    await using _mounted = await snapshotter.attach?.(key);
    const { blocks, bsize } = statfsSync(rootOf(snapshotter, key));
    sizes.push(Math.round((blocks * bsize) / MIB));
  }
  assert.ok(sizes[0]! > 100 && sizes[0]! <= 128 && sizes[1]! <= 64, String(sizes));
  assert.equal((await b.reopen()).limitOf("container"), 128 * MIB);
  assert.equal(b.snapshotter.limitOf("other"), undefined);
});

test("devicemapper: the base device grows for new layers, and does not shrink", { skip }, async () => {
  await using b = bench();
  await layer(b.snapshotter, () => undefined);
  const grown = await b.reopen(small("dm.basesize=96M"));
  await layer(grown, () => undefined, `sha256:${"c".repeat(64)}`);
  await grown.prepare("container", `sha256:${"c".repeat(64)}`);
  {
    await using _mounted = await grown.attach?.("container");
    const { blocks, bsize } = statfsSync(rootOf(grown, "container"));
    assert.ok(blocks * bsize > 70 * MIB);
  }
  await assert.rejects(b.reopen(small()), { code: "invalid-parameter", message: "devmapper: Base device size cannot be smaller than 100.7MB" });
  await b.reopen(small("dm.basesize=96M"));
});

test("devicemapper: a full pool refuses what is not on the disk, stays whole, and works again when something goes", { skip }, async () => {
  await using b = bench(small("dm.loopdatasize=24M", "dm.min_free_space=0%"));
  const { snapshotter } = b;
  await layer(snapshotter, (path) => writeDurably(join(path, "kept"), 4));
  await snapshotter.prepare("unpack-2");
  await assert.rejects(
    (async () => {
      await using target = await snapshotter.unpackTarget("unpack-2");
      for (let at = 0; at < 40; at++) writeFileSync(join(target.path, `file-${at}`), Buffer.alloc(MIB, at + 1));
    })(),
    /is not on the disk: devmapper: no space left in the thin pool|ENOSPC/,
  );
  await assert.rejects(snapshotter.prepare("another", parent), { message: /no space left in the thin pool/ });
  await snapshotter.remove("unpack-2");
  await snapshotter.settled();
  await snapshotter.prepare("container", parent);
  await using _mounted = await snapshotter.attach?.("container");
  assert.equal(statSync(join(rootOf(snapshotter, "container"), "kept")).size, 4 * MIB);
  writeDurably(join(rootOf(snapshotter, "container"), "new"), 2);
});

test("devicemapper: too few free blocks refuse what is new, before anything is lost", { skip }, async () => {
  await using b = bench(small("dm.loopdatasize=24M", "dm.min_free_space=85%"));
  await assert.rejects(layer(b.snapshotter, () => undefined), { message: /^devmapper: Thin Pool has \d+ free data blocks which is less than minimum required \d+ free data blocks\./ });
  assert.deepEqual(b.snapshotter.list(), []);
});

test("devicemapper: who has a mount keeps it without the daemon; its device goes with the last, and a removed one leaves the pool then", { skip }, async () => {
  await using b = bench();
  await layer(b.snapshotter, (path) => writeFileSync(join(path, "file"), "x"));
  await b.snapshotter.prepare("container", parent);
  const attached = await b.snapshotter.attach?.("container");
  const root = rootOf(b.snapshotter, "container");
  // As a container: bound to a place of its own.
  const place = mkdtempSync(join(tmpdir(), "gantry-dm-place-"));
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", `mount --bind ${root} ${place} && umount ${join(root, "..")} && echo in; read -r _; cat ${place}/file`], { stdio: ["pipe", "pipe", "inherit"] });
  const said: string[] = [];
  holder.stdout.on("data", (data: Buffer) => said.push(data.toString()));
  await until(() => said.join("") === "in\n");
  await attached?.[Symbol.asyncDispose]();
  const again = await b.reopen();
  assert.ok(!existsSync(join(root, "file")), "here it is gone");
  assert.equal(devicesOf(b.dir).length, 2, "the pool and one device");
  {
    await using _mounted = await again.attach?.("container");
    assert.ok(existsSync(join(root, "file")));
  }
  await again.remove("container");
  const pending = (): string | undefined => again.status().find(([name]) => name === "Deferred Deleted Device Count")?.[1];
  assert.equal(pending(), "1");
  holder.stdin.end("\n");
  await until(() => said.join("") === "in\nx");
  await again.settled();
  assert.equal(pending(), "0");
  rmSync(place, { recursive: true });
});

test("devicemapper: many at once, of one image, are made, mounted, compared and removed", { skip }, async () => {
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
  await Promise.all(keys.map((key) => snapshotter.remove(key)));
});

test("devicemapper: a pool of devices that are named; a pool's file grows when more is asked for", { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-dm-disks-"));
  using stack = new DisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "data");
  execFileSync("truncate", ["-s", "256M", file]);
  const { path } = stack.use(attachLoop(file));
  await using b = bench(small(`dm.datadev=${path}`));
  await layer(b.snapshotter, (at) => writeFileSync(join(at, "file"), "x"));
  const rows = Object.fromEntries(b.snapshotter.status());
  assert.deepEqual([rows["Data file"], rows["Data Space Total"], rows["Metadata loop file"]], [path, "268.4MB", join(b.dir, "pool/metadata")]);
  await using grown = bench(small("dm.loopdatasize=128M"));
  await grown.reopen(small("dm.loopdatasize=192M"));
  assert.equal(Object.fromEntries(grown.snapshotter.status())["Data Space Total"], "201.3MB");
});

test("devicemapper: what nothing knows of is found in the pool, and removed", { skip }, async () => {
  await using b = bench();
  await layer(b.snapshotter, () => undefined);
  const dm = openDeviceMapper();
  const name = devicesOf(b.dir).find((one) => one.endsWith("-pool")) ?? "";
  dm.callNow(command.message, { name, message: "create_thin 7" });
  dm.close();
  const [stray, ...others] = (await b.snapshotter.strays?.()) ?? [];
  assert.deepEqual([stray?.problem, others], ["device 7 of the pool belongs to no layer", []]);
  await stray?.repair();
  await b.snapshotter.settled();
});

test("devicemapper: another pool than the last is refused, and one that has something in it", { skip }, async () => {
  await using b = bench();
  await layer(b.snapshotter, () => undefined);
  await using other = bench();
  await layer(other.snapshotter, () => undefined);
  const name = devicesOf(other.dir).find((one) => one.endsWith("-pool")) ?? "";
  await assert.rejects(b.reopen(small(`dm.thinpooldev=/dev/mapper/${name}`)), { message: /^devmapper: the thin pool .* Possibly using a different thin pool than last invocation$/ });
  await b.reopen(small());
  const fresh = mkdtempSync(join(tmpdir(), "gantry-dm-"));
  assert.throws(() => create(fresh, { options: small(`dm.thinpooldev=${name}`) }), { message: `devmapper: Unable to take ownership of thin-pool (${name}) that already has used data blocks` });
  assert.throws(() => create(fresh, { options: small("dm.thinpooldev=nosuch") }), { message: "devmapper: there is no device nosuch for dm.thinpooldev" });
  assert.deepEqual(readdirSync(fresh), ["pool"]);
  rmSync(fresh, { recursive: true });
});

test("devicemapper: Docker's rows, and its warning of files as disks", { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-dm-"));
  const warnings: string[] = [];
  const snapshotter = create(dir, { options: small(), warn: (message) => warnings.push(message) });
  try {
    assert.match(warnings.join("\n"), /^Usage of loopback devices is strongly discouraged for production use\./);
    const rows = Object.fromEntries(snapshotter.status());
    assert.deepEqual(Object.keys(rows), ["Pool Name", "Pool Blocksize", "Base Device Size", "Backing Filesystem", "Udev Sync Supported", "Data file", "Metadata file", "Data loop file", "Metadata loop file", "Data Space Used", "Data Space Total", "Data Space Available", "Metadata Space Used", "Metadata Space Total", "Metadata Space Available", "Thin Pool Minimum Free Space", "Deferred Removal Enabled", "Deferred Deletion Enabled", "Deferred Deleted Device Count", "Driver Version"]);
    assert.deepEqual([rows["Pool Blocksize"], rows["Base Device Size"], rows["Backing Filesystem"], rows["Data Space Total"], rows["Data loop file"]], ["65.54kB", "67.11MB", "ext4", "1.074GB", join(dir, "pool/data")]);
  } finally {
    await snapshotter.close?.();
    rmSync(dir, { recursive: true });
  }
});

test("devicemapper: with XFS, and without deferred removal", { skip }, async () => {
  await using b = bench(["dm.loopdatasize=2G", "dm.loopmetadatasize=32M", "dm.basesize=320M", "dm.fs=xfs", "dm.use_deferred_removal=false", "dm.use_deferred_deletion=false", "dm.xfs_nospace_max_retries=0", "dm.mountopt=noatime"]);
  const { snapshotter } = b;
  await layer(snapshotter, (path) => writeFileSync(join(path, "file"), "x"));
  await snapshotter.prepare("container", parent, { limit: 400 * MIB });
  {
    await using _mounted = await snapshotter.attach?.("container");
    writeFileSync(join(rootOf(snapshotter, "container"), "new"), "");
  }
  assert.deepEqual((await snapshotter.diff("container")).map(({ path }) => path), ["/new"]);
});

test("devicemapper: without the kernel's thin pools the driver says what is missing", { skip: missing === undefined ? "there are thin pools" : false }, () => {
  assert.throws(() => create("/nowhere/layers"), { code: "unavailable", message: /needs the kernel's device mapper with thin pools .*modprobe dm_thin_pool/ });
  assert.throws(() => create("/nowhere/layers", { options: ["dm.nosuch=1"] }), { message: "devmapper: Unknown option dm.nosuch" });
});

async function until(isTrue: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !isTrue(); await delay(50)) assert.ok(Date.now() < end, "not in time");
}
