import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, lstatSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { RootfsMount } from "../../src/core/runtime.ts";
import { repositoryAndTag } from "../../src/engine/images/tag.ts";
import { type Digest, digestOf, hexOf } from "../../src/lib/digest.ts";
import { Filters } from "../../src/lib/filters.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { openOverlay } from "../../src/sys/archive.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, load, openBench, pieces } from "./bench.ts";

const noFilters = new Filters(new Map());
const listAll = (bench: ImageBench) => bench.images.list({ filters: noFilters, sharedSize: true, manifests: true });
const reference = (name: string) => parseReference(name);

function enter([mount]: RootfsMount[]): Disposable & { path: string } {
  assert.ok(mount);
  if (mount.type === "bind") return { path: mount.source, [Symbol.dispose]: () => undefined };
  const fd = openOverlay({ lower: mount.lower, own: { upper: mount.upper, work: mount.work }, options: mount.options });
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
}

const files = (path: string): string[] => execFileSync("find", [".", "-mindepth", "1", "-printf", "%P %y %m\\n"], { cwd: path, encoding: "utf8" }).trim().split("\n").filter((line) => line !== "").sort();

/** Three layers with deletions, an opaque folder, a hard link, and later ones that rely on folders and links of earlier ones. */
const base = tarOf({ name: "bin/", type: "5", mode: 0o755 }, { name: "bin/sh", data: "sh", mode: 0o755 }, { name: "usr/", type: "5", mode: 0o711 }, { name: "usr/lib/", type: "5", mode: 0o750 }, { name: "lib", type: "2", link: "usr/lib" }, { name: "opq/", type: "5", mode: 0o755 }, { name: "opq/old", data: "x" }, { name: "gone", data: "x" });
const second = tarOf({ name: ".wh.gone" }, { name: "opq/", type: "5", mode: 0o755 }, { name: "opq/.wh..wh..opq" }, { name: "opq/new", data: "n" }, { name: "a", data: "linked" }, { name: "b", type: "1", link: "a" });
/* usr/lib is not in this layer, lib is a link of the first, and the hard link's target is the second's. */
const third = tarOf({ name: "usr/lib/c", data: "c" }, { name: "lib/d", data: "d" }, { name: "bin/.wh.sh" }, { name: "e", type: "1", link: "a" });
const stacked = ["a f 644", "b f 644", "bin d 755", "e f 644", "lib l 777", "opq d 755", "opq/new f 644", "usr d 711", "usr/lib d 750", "usr/lib/c f 644", "usr/lib/d f 644"];

for (const driver of ["overlay2", "vfs"] as const) {
  test(`${driver}: layers stack as they should, also when they rely on each other, in every compression`, async () => {
    await using bench = openBench({ driver });
    const bytes = layoutOf("docker.io/library/stacked:1", [
      { bytes: base },
      { bytes: gzipSync(second), diffId: digestOf(second), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" },
      { bytes: zstdCompressSync(third), diffId: digestOf(third), mediaType: "application/vnd.oci.image.layer.v1.tar+zstd" },
    ]);
    for (const whole of [bytes, gzipSync(bytes), zstdCompressSync(bytes)]) {
      assert.equal(await load(bench, whole), "Loaded image: stacked:1\n");
      const image = bench.images.resolve("stacked:1");
      await bench.images.layers.create("container", image);
      {
        using root = enter(bench.images.layers.mounts("container"));
        assert.deepEqual(files(root.path), stacked);
        assert.equal(readFileSync(join(root.path, "e"), "utf8"), "linked");
      }
      const { writable, total } = await bench.images.layers.size({ id: "container" });
      assert.ok(writable < total);
      await bench.images.layers.remove("container");
      await bench.images.remove("stacked:1", {});
    }
    assert.deepEqual([bench.content.list(), bench.snapshotter.list()], [[], []]);
  });
}

test("the recorded images are listed, inspected and run as Docker has them", async (context) => {
  const fixture = process.env["GANTRY_IMAGES_FIXTURE"] ?? "";
  if (!existsSync(fixture)) return context.skip("GANTRY_IMAGES_FIXTURE names no archive");
  await using bench = openBench();
  await load(bench, readFileSync(fixture));
  const rows = await listAll(bench);
  assert.equal(rows.length, 9);
  assert.deepEqual(bench.images.resolve("parity-entry").config.Entrypoint, ["/bin/echo", "entry"]);
});

test("a name, an id, its beginning and a digest find the same image; what is missing is named as Docker does", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/found:1", [{ bytes: base }]));
  const { id } = bench.images.resolve("found:1");
  for (const ref of [id, hexOf(id), hexOf(id).slice(0, 12), hexOf(id).slice(0, 4), `sha256:${hexOf(id).slice(0, 9)}`, `found@${id}`, "docker.io/library/found:1", "index.docker.io/found:1"]) assert.equal(bench.images.resolve(ref).id, id, ref);
  const refusals: [string, string, string][] = [
    ["found", "not-found", "No such image: found:latest"],
    [`other@${id}`, "not-found", `No such image: other@${id}`],
    ["FOUND", "invalid-parameter", "invalid reference format: repository name (library/FOUND) must be lowercase"],
    ["", "invalid-parameter", "invalid reference format"],
    ["ffffffffffff", "not-found", "No such image: ffffffffffff:latest"],
  ];
  for (const [ref, code, message] of refusals) assert.throws(() => bench.images.resolve(ref), { code, message });
  assert.throws(() => bench.images.resolve("found:1", { os: "linux", architecture: "s390x" }), { code: "not-found", message: "image with reference found:1 was found but does not provide the specified platform (linux/s390x)" });
  assert.equal(bench.images.idOf("nothing here"), undefined);
});

test("a document whose times are none is listed all the same", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }], {}, { created: "yesterday", history: [{ created: "" }] }));
  assert.deepEqual([(await listAll(bench))[0]?.Created, (await bench.images.history("x:1"))[0]?.Created], [0, 0]);
});

test("what load, tag and rmi do is told as events, with the image's labels", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }], { Labels: { k: "v" } }));
  const { id } = bench.images.resolve("x:1");
  bench.images.tag("x:1", reference("y:2"));
  assert.deepEqual(await bench.images.remove("x:1", {}), [{ Untagged: "x:1" }]);
  assert.deepEqual(await bench.images.remove("y:2", {}), [{ Untagged: "y:2" }, { Deleted: id }]);
  assert.deepEqual(
    bench.events.map(({ action, actor }) => [action, actor.id === id, actor.attributes]),
    [
      ["load", true, { k: "v", name: id }],
      ["tag", true, { k: "v", name: "y:2" }],
      ["untag", true, { name: "x:1" }],
      ["untag", true, { name: "y:2" }],
      ["delete", true, { name: id }],
    ],
  );
});

test("a name that moves leaves its former image without one; prune takes that", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }]));
  const { id } = bench.images.resolve("x:1");
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: second }]));
  const dangling = (await listAll(bench)).find((row) => row.Id === id);
  assert.deepEqual([dangling?.RepoTags, dangling?.RepoDigests], [[], []]);
  const { ImagesDeleted, SpaceReclaimed } = await bench.images.prune({ filters: noFilters });
  assert.deepEqual(ImagesDeleted, [{ Untagged: id }, { Deleted: id }]);
  assert.ok(SpaceReclaimed > base.length);
  assert.deepEqual((await listAll(bench)).map((row) => row.RepoTags), [["x:1"]]);
  assert.deepEqual(await bench.images.prune({ filters: noFilters }), { ImagesDeleted: null, SpaceReclaimed: 0 });
});

test("images in use are kept, and the conflicts are told in Docker's words", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }]));
  const image = bench.images.resolve("x:1");
  const container = "c".repeat(64);
  await bench.images.layers.create(container, image);
  bench.users.set(image.id, [{ containerId: container, running: false, imageRef: "x:1" }]);
  const [short, shortContainer] = [hexOf(image.id).slice(0, 12), container.slice(0, 12)];
  await assert.rejects(bench.images.remove("x:1", {}), { code: "conflict", message: `conflict: unable to delete x:1 (must be forced) - container ${shortContainer} is using its referenced image ${short}` });
  await assert.rejects(bench.images.remove(short, {}), { message: `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${shortContainer}` });
  bench.users.set(image.id, [{ containerId: container, running: true, imageRef: "x:1" }]);
  await assert.rejects(bench.images.remove(short, { force: true }), { message: `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container ${shortContainer}` });
  bench.images.tag("x:1", reference("y:1"));
  bench.users.clear();
  await assert.rejects(bench.images.remove(short, {}), { message: `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories` });
  bench.users.set(image.id, [{ containerId: container, running: false, imageRef: "x:1" }]);
  assert.deepEqual(await bench.images.remove("y:1", {}), [{ Untagged: "y:1" }]);
  assert.deepEqual(await bench.images.remove("x:1", { force: true }), [{ Untagged: "x:1" }]);
  assert.equal(bench.images.resolve(image.id).id, image.id);
  assert.equal((await bench.images.prune({ filters: new Filters(new Map([["dangling", new Set(["false"])]])) })).ImagesDeleted, null);
  using root = enter(bench.images.layers.mounts(container));
  assert.ok(existsSync(join(root.path, "bin/sh")));
});

test("layers that a container stands on outlive their image", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: second }]));
  await bench.images.layers.create("container", bench.images.resolve("x:1"));
  await bench.images.remove("x:1", { force: true });
  assert.deepEqual(bench.content.list(), []);
  {
    using root = enter(bench.images.layers.mounts("container"));
    assert.ok(existsSync(join(root.path, "opq/new")));
  }
  await bench.images.collect({ containers: new Set(["container"]) });
  assert.equal(bench.snapshotter.list().length, 3);
  await bench.images.collect({ containers: new Set() });
  assert.deepEqual(bench.snapshotter.list(), []);
});

test("images share layers, and shared sizes say so", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: second }]));
  await load(bench, layoutOf("docker.io/library/y:1", [{ bytes: base }]));
  const rows = await listAll(bench);
  for (const row of rows) assert.ok(row.SharedSize >= base.length && row.SharedSize < row.Size, JSON.stringify(row));
  await bench.images.remove("x:1", {});
  assert.deepEqual(bench.content.list().includes(digestOf(base)), true);
  assert.equal(bench.snapshotter.list().length, 1);
});

test("a Docker archive without an OCI layout gets a manifest; one image may have several names or none", async () => {
  await using bench = openBench();
  const document = JSON.stringify({ os: "linux", architecture: "amd64", config: { Cmd: ["sh"] }, rootfs: { type: "layers", diff_ids: [digestOf(base), digestOf(second)] } });
  const archive = (tags: string[] | null): Buffer =>
    tarOf({ name: "abc.json", data: document }, { name: "1/layer.tar", data: base }, { name: "2/layer.tar", data: gzipSync(second) }, { name: "manifest.json", data: JSON.stringify([{ Config: "abc.json", RepoTags: tags, Layers: ["1/layer.tar", "2/layer.tar"] }]) });
  const unnamed = await load(bench, archive(null));
  const { id } = bench.images.resolve(/sha256:\w+/.exec(unnamed)?.[0] ?? "");
  assert.equal(unnamed, `Loaded image ID: ${id}\n`);
  assert.equal(await load(bench, archive(["old:1", "old:2", "BAD"])), "Loaded image: old:1\nLoaded image: old:2\n");
  assert.equal(bench.images.resolve("old:2").id, id);
  const inspected = await bench.images.inspect("old:1", { platform: undefined, manifests: false });
  assert.deepEqual([inspected.RepoTags, inspected.Config, inspected.RootFS.Layers], [["old:1", "old:2"], { Cmd: ["sh"] }, [digestOf(base), digestOf(second)]]);
});

/** An index of two platforms. */
function twoPlatforms(): Buffer {
  const files: { name: string; data: Buffer }[] = [];
  const add = (mediaType: string, bytes: Buffer): { mediaType: string; digest: Digest; size: number } => {
    files.push({ name: `blobs/sha256/${hexOf(digestOf(bytes))}`, data: bytes });
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const manifests = ["amd64", "s390x"].map((architecture) => {
    const layer = add("application/vnd.oci.image.layer.v1.tar", tarOf({ name: architecture, data: "x" }));
    const config = add("application/vnd.oci.image.config.v1+json", json({ os: "linux", architecture, rootfs: { type: "layers", diff_ids: [layer.digest] } }));
    return { ...add("application/vnd.oci.image.manifest.v1+json", json({ schemaVersion: 2, config, layers: [layer] })), platform: { os: "linux", architecture } };
  });
  const missing = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digestOf("elsewhere"), size: 9, platform: { os: "linux", architecture: "riscv64" } };
  const index = add("application/vnd.oci.image.index.v1+json", json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [...manifests, missing] }));
  return tarOf({ name: "oci-layout", data: "{}" }, { name: "index.json", data: json({ schemaVersion: 2, manifests: [{ ...index, annotations: { "io.containerd.image.name": "docker.io/library/multi:1" } }] }) }, ...files);
}

test("of several platforms the machine's is unpacked, others when they are wanted", async () => {
  await using bench = openBench();
  await load(bench, twoPlatforms());
  assert.equal(bench.snapshotter.list().length, 1);
  const [row] = await listAll(bench);
  assert.deepEqual(row?.Manifests?.map((manifest) => [manifest.Kind, manifest.Available]), [["image", true], ["image", true], ["image", false]]);
  const other = bench.images.resolve("multi:1", { os: "linux", architecture: "s390x" });
  assert.equal(other.id, bench.images.resolve("multi:1").id);
  await bench.images.layers.create("container", other);
  using root = enter(bench.images.layers.mounts("container"));
  assert.deepEqual(readdirSync(root.path), ["s390x"]);
  const inspected = await bench.images.inspect("multi:1", { platform: { os: "linux", architecture: "s390x" }, manifests: false });
  assert.deepEqual([inspected.Architecture, inspected.Id], ["s390x", other.manifest.digest]);
  await assert.rejects(load(bench, twoPlatforms()).then(() => bench.images.load(pieces(twoPlatforms()), { platforms: [{ os: "linux", architecture: "mips64" }], report: () => undefined })), /doesn't provide the requested platform \(\[linux\/mips64\]\)/);
});

test("import makes an image of one layer, with its changes; its bytes are kept as they came", async () => {
  await using bench = openBench();
  const request = { reference: repositoryAndTag("imp", "1"), platform: undefined, message: "why", changes: ["ENV A=b", 'CMD ["$A"]', "WORKDIR w", "LABEL c=$A"] };
  const bytes = gzipSync(base);
  const id = await bench.images.import(pieces(bytes, 100), request);
  const image = bench.images.resolve("imp:1");
  assert.deepEqual([image.id, JSON.parse(JSON.stringify(image.config))], [id, { Env: ["A=b"], Cmd: ["$A"], WorkingDir: "/w", Labels: { c: "b" } }]);
  assert.ok(bench.content.has(digestOf(bytes)));
  const [entry] = await bench.images.history("imp:1");
  assert.deepEqual([entry?.Comment, entry?.Id, entry?.Tags], ["why", id, ["imp:1"]]);
  assert.deepEqual(bench.events.map(({ action }) => action), ["tag", "import"]);
  await assert.rejects(bench.images.import(pieces(Buffer.alloc(2048, "x")), request), { code: "system", message: /invalid tar header/ });
  await assert.rejects(bench.images.import(pieces(base), { ...request, changes: ["RUN x"] }), { code: "invalid-parameter", message: "RUN is not a valid change command" });
  assert.equal(bench.snapshotter.list().length, 1);
});

test("save gives the same bytes each time, and load of them the same image", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }, { bytes: gzipSync(second), diffId: digestOf(second), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" }]));
  bench.images.tag("x:1", reference("x:2"));
  const save = async (names: string[]): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for await (const part of bench.images.save(names, [])) parts.push(part);
    return Buffer.concat(parts);
  };
  const saved = await save(["x"]);
  assert.deepEqual(await save(["x"]), saved);
  await using other = openBench();
  assert.equal(await load(other, saved), "Loaded image: x:1\nLoaded image: x:2\n");
  assert.equal(other.images.resolve("x:2").id, bench.images.resolve("x:1").id);
  const listing = execFileSync("tar", ["-t"], { input: saved, encoding: "utf8" }).trim().split("\n");
  assert.deepEqual(listing.filter((name) => !name.startsWith("blobs/sha256/")), ["blobs/", "index.json", "manifest.json", "oci-layout"]);
  const { id } = bench.images.resolve("x:1");
  await using third = openBench();
  assert.equal(await load(third, await save([id])), `Loaded image ID: ${id}\n`);
  assert.throws(() => bench.images.save(["nothing"], []), { code: "not-found", message: "No such image: nothing:latest" });
});

test("loads at the same time do not disturb each other, nor a removal between them", async () => {
  await using bench = openBench();
  const archives = Array.from({ length: 6 }, (_, at) => layoutOf(`docker.io/library/x${at}:1`, [{ bytes: base }, { bytes: tarOf({ name: `own-${at}` }) }]));
  const removing = (async () => {
    for (let round = 0; round < 20; round++) await bench.images.collect();
  })();
  await Promise.all([...archives.map((bytes) => load(bench, bytes)), ...archives.map((bytes) => load(bench, bytes)), removing]);
  for (let at = 0; at < 6; at++) {
    await bench.images.layers.create(`container-${at}`, bench.images.resolve(`x${at}:1`));
    using root = enter(bench.images.layers.mounts(`container-${at}`));
    assert.ok(existsSync(join(root.path, `own-${at}`)) && existsSync(join(root.path, "bin/sh")));
  }
  assert.equal(bench.snapshotter.list().filter(({ kind }) => kind === "committed").length, 7);
});

test("an image that the installation brings is pulled from it; others are refused clearly", async () => {
  await using bench = openBench();
  const archive = join(bench.dir, "hello.tar");
  writeFileSync(archive, layoutOf("docker.io/library/hello-world:latest", [{ bytes: base }]));
  await using brought = openBench({ embedded: { "docker.io/library/hello-world:latest": archive } });
  const said: string[] = [];
  const request = { platform: undefined, access: {}, signal: new AbortController().signal };
  await brought.images.pull({ ...request, reference: reference("hello-world"), report: ({ status }) => void said.push(status) });
  assert.equal(said.at(-1), "Status: Downloaded newer image for hello-world:latest");
  assert.equal(brought.images.resolve("hello-world").ref, "hello-world:latest");
  await assert.rejects(brought.images.pull({ ...request, reference: reference("busybox"), report: () => undefined }), { code: "not-implemented" });
});

test("another storage driver on the same root unpacks what it does not have", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: base }]));
  bench.database.close();
  await using other = openBench({ dir: bench.dir, driver: "vfs" });
  await other.images.layers.create("container", other.images.resolve("x:1"));
  assert.equal(lstatSync(join(bench.dir, "layers/vfs/container/diff/bin/sh")).isFile(), true);
});

test("state stays private, and a start collects what nobody owns", async () => {
  await using bench = openBench();
  for (const part of ["content/sha256", "content/ingest", "layers/overlay2"]) assert.equal(statSync(join(bench.dir, part)).mode & 0o077, 0, part);
  writeFileSync(join(bench.dir, "content/ingest/left"), "x");
  writeFileSync(join(bench.dir, "content/sha256", hexOf(digestOf("unused"))), "unused");
  await bench.snapshotter.prepare("unpack-left");
  bench.database.close();
  await using again = openBench({ dir: bench.dir });
  await again.images.collect({ containers: new Set() });
  await again.snapshotter.settled();
  assert.deepEqual([readdirSync(join(bench.dir, "content/ingest")), readdirSync(join(bench.dir, "content/sha256")), again.snapshotter.list()], [[], [], []]);
});

test("a dry run says what a prune removes; a prune that is given its state does that or nothing", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/a:1", [{ bytes: base }, { bytes: tarOf({ name: "a", data: "x".repeat(50_000) }) }]));
  await load(bench, layoutOf("docker.io/library/b:1", [{ bytes: base }]));
  bench.images.tag("a:1", reference("a:2"));
  const filters = new Filters(new Map([["dangling", new Set(["false"])], ["label!", new Set(["keep"])]]));
  const plan = await bench.images.planPrune(filters);
  assert.equal(bench.images.count(), 2);
  assert.deepEqual(await bench.images.planPrune(filters), plan);
  bench.images.tag("b:1", reference("b:2"));
  await assert.rejects(bench.images.prune({ filters, state: plan.State }), { code: "conflict", message: /have changed since the dry run/ });
  assert.equal(bench.images.count(), 2);
  const { State, ...expected } = await bench.images.planPrune(filters);
  assert.deepEqual(await bench.images.prune({ filters, state: State }), expected);
  assert.deepEqual([bench.images.count(), bench.content.list(), bench.snapshotter.list()], [0, [], []]);
});
