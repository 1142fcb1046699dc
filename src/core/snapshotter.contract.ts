/** What every storage driver must do. Run with a driver's constructor; needs root. `base` is a folder of the file system that the driver is for. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { RootfsMount } from "./runtime.ts";
import type { Snapshotter } from "./snapshotter.ts";

const chain = (digit: string): string => `sha256:${digit.repeat(64)}`;

interface Bench extends AsyncDisposable {
  dir: string;
  snapshotter: Snapshotter;
}

/** A root file system, as a runtime would make it of the mounts. */
export type EnterRootfs = (mounts: RootfsMount[]) => Disposable & { path: string };

export function snapshotterContract(name: string, create: (dir: string) => Snapshotter, mounted: EnterRootfs, base: () => string = tmpdir): void {
  const bench = (): Bench => {
    const dir = mkdtempSync(join(base(), "gantry-snapshots-"));
    const snapshotter = create(join(dir, name));
    return {
      dir,
      snapshotter,
      [Symbol.asyncDispose]: async () => {
        await snapshotter.settled();
        await snapshotter.close?.();
        rmSync(dir, { recursive: true, force: true });
      },
    };
  };

  const enter = async (snapshotter: Snapshotter, key: string): Promise<AsyncDisposable & { path: string }> => {
    const stack = new AsyncDisposableStack();
    const attached = await snapshotter.attach?.(key);
    if (attached) stack.use(attached);
    const { path } = stack.use(mounted(snapshotter.mounts(key)));
    return { path, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  };

  test(`${name}: a committed layer is seen through the mounts of a snapshot above it`, async () => {
    await using b = bench();
    await layer(b.snapshotter, chain("a"), undefined, (path) => writeFileSync(join(path, "file"), "below"));
    const planned = b.snapshotter.planned("container", chain("a"));
    assert.ok(b.snapshotter.list().every(({ key }) => key !== "container"), "planning makes nothing");
    await b.snapshotter.prepare("container", chain("a"));
    assert.deepEqual(b.snapshotter.mounts("container"), planned);
    await using root = await enter(b.snapshotter, "container");
    assert.equal(readFileSync(join(root.path, "file"), "utf8"), "below");
    writeFileSync(join(root.path, "file"), "above");
    assert.equal(readFileSync(join(root.path, "file"), "utf8"), "above");
    await b.snapshotter.prepare("other", chain("a"));
    await using other = await enter(b.snapshotter, "other");
    assert.equal(readFileSync(join(other.path, "file"), "utf8"), "below");
  });

  test(`${name}: layers stack in the order of their parents, up to 130 of them`, async () => {
    await using b = bench();
    let parent: string | undefined;
    for (let at = 0; at < 130; at++) {
      const next = `sha256:${String(at).padStart(64, "0")}`;
      await layer(b.snapshotter, next, parent, (path) => {
        writeFileSync(join(path, "top"), String(at));
        writeFileSync(join(path, `own-${at}`), "");
      });
      parent = next;
    }
    await b.snapshotter.prepare("container", parent);
    await using root = await enter(b.snapshotter, "container");
    assert.equal(readFileSync(join(root.path, "top"), "utf8"), "129");
    assert.equal(readdirSync(root.path).length, 131);
  });

  test(`${name}: without a parent a snapshot is empty and writable`, async () => {
    await using b = bench();
    await b.snapshotter.prepare("container");
    await using root = await enter(b.snapshotter, "container");
    assert.deepEqual(readdirSync(root.path), []);
    writeFileSync(join(root.path, "x"), "");
  });

  test(`${name}: the root folder looks as in the layer below`, async () => {
    await using b = bench();
    await layer(b.snapshotter, chain("a"), undefined, (path) => {
      chmodSync(path, 0o1770);
      chownSync(path, 12, 34);
    });
    await b.snapshotter.prepare("container", chain("a"));
    await using root = await enter(b.snapshotter, "container");
    const { mode, uid, gid } = statSync(root.path);
    assert.deepEqual([mode & 0o7777, uid, gid], [0o1770, 12, 34]);
  });

  test(`${name}: a merged target shows the parent, and deleting in it deletes`, async () => {
    await using b = bench();
    await layer(b.snapshotter, chain("a"), undefined, (path) => {
      mkdirSync(join(path, "dir"));
      writeFileSync(join(path, "dir", "gone"), "");
      writeFileSync(join(path, "dir", "stays"), "");
    });
    await b.snapshotter.prepare("unpack-1", chain("a"));
    {
      await using target = await b.snapshotter.unpackTarget("unpack-1", { merged: true });
      assert.equal(target.whiteouts, "apply");
      rmSync(join(target.path, "dir", "gone"));
    }
    await b.snapshotter.commit("unpack-1", chain("b"));
    await b.snapshotter.prepare("container", chain("b"));
    await using root = await enter(b.snapshotter, "container");
    assert.deepEqual(readdirSync(join(root.path, "dir")), ["stays"]);
  });

  test(`${name}: diff tells what was added, changed and deleted, sorted`, async () => {
    await using b = bench();
    await layer(b.snapshotter, chain("a"), undefined, (path) => {
      for (const dir of ["changed", "deleted", "kept", "replaced"]) mkdirSync(join(path, dir));
      for (const file of ["changed/file", "deleted/file", "kept/file", "replaced/old", "link-target"]) writeFileSync(join(path, file), "1");
    });
    await b.snapshotter.prepare("container", chain("a"));
    assert.deepEqual(await b.snapshotter.diff("container"), []);
    {
      await using root = await enter(b.snapshotter, "container");
      writeFileSync(join(root.path, "changed", "file"), "22");
      writeFileSync(join(root.path, "changed", "new"), "");
      rmSync(join(root.path, "deleted"), { recursive: true });
      rmSync(join(root.path, "replaced"), { recursive: true });
      mkdirSync(join(root.path, "replaced"));
      symlinkSync("elsewhere", join(root.path, "a-link"));
    }
    const changes = (await b.snapshotter.diff("container")).map(({ kind, path }) => `${kind} ${path}`).filter((line) => line !== "modified /changed" && line !== "modified /replaced");
    assert.deepEqual(changes, ["added /a-link", "modified /changed/file", "added /changed/new", "deleted /deleted", "deleted /replaced/old"]);
  });

  test(`${name}: usage counts blocks, hard links once, and stays after commit`, async () => {
    await using b = bench();
    await b.snapshotter.prepare("unpack-1");
    {
      await using target = await b.snapshotter.unpackTarget("unpack-1");
      writeFileSync(join(target.path, "big"), Buffer.alloc(1 << 20, 1));
      linkSync(join(target.path, "big"), join(target.path, "again"));
    }
    const before = await b.snapshotter.usage("unpack-1");
    assert.ok(before.bytes >= 1 << 20 && before.bytes < 3 << 19, String(before.bytes));
    assert.equal(before.inodes, 2);
    await b.snapshotter.commit("unpack-1", chain("a"));
    assert.deepEqual(await b.snapshotter.usage(chain("a")), before);
  });

  test(`${name}: taken keys, missing parents and missing snapshots are refused`, async () => {
    await using b = bench();
    await b.snapshotter.prepare("one");
    await assert.rejects(b.snapshotter.prepare("one"), { code: "conflict" });
    await assert.rejects(b.snapshotter.prepare("two", chain("f")), { code: "not-found" });
    await assert.rejects(b.snapshotter.prepare("../two"), { code: "system" });
    assert.throws(() => b.snapshotter.mounts("three"), { code: "not-found" });
    await assert.rejects(b.snapshotter.usage("three"), { code: "not-found" });
    assert.deepEqual(b.snapshotter.list().map(({ key }) => key), ["one"]);
  });

  test(`${name}: a name that exists already wins over a second commit`, async () => {
    await using b = bench();
    await layer(b.snapshotter, chain("a"), undefined, (path) => writeFileSync(join(path, "first"), ""));
    await layer(b.snapshotter, chain("a"), undefined, (path) => writeFileSync(join(path, "second"), ""));
    await b.snapshotter.prepare("container", chain("a"));
    await using root = await enter(b.snapshotter, "container");
    assert.deepEqual(readdirSync(root.path), ["first"]);
    assert.equal(b.snapshotter.list().length, 2);
  });

  test(`${name}: the generation is another one after a committed snapshot came or went`, async () => {
    await using b = bench();
    const before = b.snapshotter.generation;
    await b.snapshotter.prepare("unpack-1");
    await b.snapshotter.remove("unpack-1");
    assert.equal(b.snapshotter.generation, before);
    await layer(b.snapshotter, chain("a"), undefined, () => undefined);
    const made = b.snapshotter.generation;
    assert.notEqual(made, before);
    await b.snapshotter.remove(chain("a"));
    assert.notEqual(b.snapshotter.generation, made);
  });

  test(`${name}: remove is idempotent, and frees key and files`, async () => {
    await using b = bench();
    await b.snapshotter.prepare("one");
    {
      await using target = await b.snapshotter.unpackTarget("one");
      mkdirSync(join(target.path, "deep", "er"), { recursive: true });
    }
    await b.snapshotter.remove("one");
    await b.snapshotter.remove("one");
    await b.snapshotter.prepare("one");
    await using root = await enter(b.snapshotter, "one");
    assert.deepEqual(readdirSync(root.path), []);
    await b.snapshotter.settled();
    assert.deepEqual(readdirSync(join(b.dir, name, "trash"), { recursive: true }).sort(), ["0", "1"]);
  });

  test(`${name}: another instance finds what was made, with kinds and parents`, async () => {
    await using b = bench();
    await layer(b.snapshotter, chain("a"), undefined, () => undefined);
    await layer(b.snapshotter, chain("b"), chain("a"), () => undefined);
    await b.snapshotter.prepare("container", chain("b"));
    const again = create(join(b.dir, name));
    const order = (one: { key: string }, other: { key: string }): number => (one.key < other.key ? -1 : 1);
    assert.deepEqual(again.list().sort(order), [
      { key: "container", kind: "active", parent: chain("b") },
      { key: chain("a"), kind: "committed" },
      { key: chain("b"), kind: "committed", parent: chain("a") },
    ]);
    assert.equal(again.has(chain("b")), true);
    assert.equal(again.has("container"), false);
    assert.equal(again.parentOf(chain("b")), chain("a"));
    assert.deepEqual(again.mounts("container"), b.snapshotter.mounts("container"));
    await again.settled();
  });

  test(`${name}: others on the machine cannot enter`, async () => {
    await using b = bench();
    assert.equal(lstatSync(join(b.dir, name)).mode & 0o777, 0o700);
  });

  test(`${name}: late parents, where the driver has them`, async (context) => {
    await using b = bench();
    if (!b.snapshotter.lateParent) return context.skip(`${name} needs the parent at prepare`);
    await b.snapshotter.prepare("unpack-2");
    {
      await using target = await b.snapshotter.unpackTarget("unpack-2");
      writeFileSync(join(target.path, "upper"), "");
    }
    await layer(b.snapshotter, chain("a"), undefined, (path) => {
      chmodSync(path, 0o711);
      writeFileSync(join(path, "lower"), "");
    });
    await b.snapshotter.commit("unpack-2", chain("b"), { parent: chain("a"), inheritRoot: true });
    await b.snapshotter.prepare("container", chain("b"));
    await using root = await enter(b.snapshotter, "container");
    assert.deepEqual(readdirSync(root.path).sort(), ["lower", "upper"]);
    assert.equal(statSync(root.path).mode & 0o777, 0o711);
  });
}

async function layer(snapshotter: Snapshotter, name: string, parent: string | undefined, fill: (path: string) => void): Promise<void> {
  await snapshotter.prepare("unpack-layer", parent);
  {
    await using target = await snapshotter.unpackTarget("unpack-layer");
    fill(target.path);
  }
  await snapshotter.commit("unpack-layer", name);
}
