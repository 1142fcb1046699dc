/** Commits with each storage driver: the new image shows the tree that the container had. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RootfsMount } from "../../src/core/runtime.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { openOverlay } from "../../src/sys/archive.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, load, openBench } from "./bench.ts";

function enter([mount]: RootfsMount[]): Disposable & { path: string } {
  assert.ok(mount);
  if (mount.type === "bind") return { path: mount.source, [Symbol.dispose]: () => undefined };
  const fd = openOverlay({ lower: mount.lower, own: { upper: mount.upper, work: mount.work }, options: mount.options });
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
}

/** Kind, mode, owner, size of files, where links lead, times of files: and the path. */
const listing = (path: string): string => execFileSync("sh", ["-c", 'find . -mindepth 1 \\( -type d -printf "%y %m %U %P\\n" -o -printf "%y %m %U %s %l %T@ %P\\n" \\) | sort -k 1'], { cwd: path, encoding: "utf8" });

const base = tarOf(
  { name: "etc/", type: "5", mode: 0o700 },
  { name: "etc/passwd", data: "root" },
  { name: "dir/", type: "5" },
  { name: "dir/kept", data: "kept" },
  { name: "dir/changed", data: "before" },
  { name: "dir/gone", data: "gone" },
  { name: "dir-x", data: "beside" },
  { name: "file", data: "file" },
  { name: "deep/er/", type: "5" },
  { name: "deep/er/leaf", data: "leaf" },
);
const changes = `
  echo changed > dir/changed; touch -d @1700000000 dir/changed; rm dir/gone; mkdir dir/new; echo n > dir/new/n; ln dir/new/n dir/new/m; ln -s nowhere link
  rm file; mkdir file; echo in > file/in; rm -r deep/er; echo flat > deep/er; chmod 750 dir; chown 7:7 dir-x; mkfifo fifo; touch -h -d @1700000000 link dir/new/n file/in deep/er fifo
`;

async function commit({ images }: ImageBench, tag: string): Promise<void> {
  const image = images.resolve("base:1");
  await images.layers.commit({ containerId: "one", base: image.manifest, reference: parseReference(tag), parent: image.id, settings: image.config, createdBy: "test", author: "", comment: "" });
}

const diffIds = async ({ images }: ImageBench, name: string): Promise<string[]> => (await images.inspect(name, { platform: undefined, manifests: false })).RootFS.Layers ?? [];

for (const driver of ["overlay2", "vfs"] as const) {
  test(`${driver}: a commit has every kind of change; the same changes give the same layer; none give none`, async () => {
    await using bench = openBench({ driver, initLayer: true });
    await load(bench, layoutOf("docker.io/library/base:1", [{ bytes: base }]));
    await bench.images.layers.create("one", bench.images.resolve("base:1"));
    assert.deepEqual(await bench.images.layers.changes("one"), []);
    await commit(bench, "same:1");
    assert.deepEqual(await diffIds(bench, "same:1"), await diffIds(bench, "base:1"));
    let before: string;
    {
      using root = enter(bench.images.layers.mounts("one"));
      assert.equal(readFileSync(join(root.path, ".dockerenv"), "utf8"), "");
      execFileSync("sh", ["-ec", changes], { cwd: root.path });
      before = listing(root.path);
    }
    assert.deepEqual(
      (await bench.images.layers.changes("one")).map(({ kind, path }) => `${kind} ${path}`).filter((line) => !/ \/(deep|dir|dir-x)$/.test(line)),
      ["modified /deep/er", "modified /dir/changed", "deleted /dir/gone", "added /dir/new", "added /dir/new/m", "added /dir/new/n", "added /fifo", "modified /file", "added /file/in", "added /link"],
    );
    await commit(bench, "changed:1");
    await commit(bench, "changed:2");
    const made = await diffIds(bench, "changed:1");
    assert.equal(made.length, 2);
    assert.deepEqual(await diffIds(bench, "changed:2"), made);
    await bench.images.layers.create("two", bench.images.resolve("changed:1"));
    using root = enter(bench.images.layers.mounts("two"));
    assert.equal(listing(root.path), before);
    assert.deepEqual(await bench.images.layers.changes("two"), []);
  });
}

test("vfs: what a container has beside its image goes nowhere through the image's links", async () => {
  await using bench = openBench({ driver: "vfs", initLayer: true });
  const outside = join(bench.dir, "outside");
  execFileSync("mkdir", [outside]);
  writeFileSync(join(outside, "canary"), "");
  await load(bench, layoutOf("docker.io/library/base:1", [{ bytes: tarOf({ name: "etc", type: "2", link: outside }, { name: "dev", type: "2", link: "../../../../../../../../tmp" }, { name: "proc", data: "a file" }) }]));
  await bench.images.layers.create("one", bench.images.resolve("base:1"));
  assert.equal(execFileSync("ls", ["-A", outside], { encoding: "utf8" }), "canary\n");
  using root = enter(bench.images.layers.mounts("one"));
  assert.equal(readFileSync(join(root.path, "proc"), "utf8"), "a file");
});
