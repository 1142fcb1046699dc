/**
 * What is said of archives that try to leave their root, to exhaust the machine, or to be read in two ways. (hostile-archives.test.ts gives
 * hundreds of them to each entry point, hostile-documents.test.ts documents.)
 */
import assert from "node:assert/strict";
import { closeSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { digestOf, hexOf } from "../../src/lib/digest.ts";
import { Filters } from "../../src/lib/filters.ts";
import { ArchiveStream, extract, openDirectory } from "../../src/sys/archive.ts";
import { type RawEntry, entryBytes, header, padded, tarOf } from "../../src/sys/tar.fixture.ts";
import { layoutOf, load, openBench } from "./bench.ts";
import { ground } from "./escapes.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { pullTag } from "./pull.fixture.ts";

const flagSets = { overlay: extract.owner | extract.xattrs | extract.devices | extract.whiteoutOverlay, apply: extract.owner | extract.whiteoutApply, literal: 0 };

async function untar(root: string, bytes: Buffer, flags: number): Promise<void> {
  const fd = openDirectory(root);
  using stream = new ArchiveStream({ root: fd, flags });
  closeSync(fd);
  await stream.push(bytes);
  await stream.finish();
}

test("names that lead out are refused, not bent", async () => {
  using target = ground();
  for (const name of ["../x", "a/../../x", "/../x"]) await assert.rejects(untar(target.root, tarOf({ name }), 0), { code: "EXDEV" }, name);
  for (const name of [".wh.", ".wh..", ".wh..."]) await assert.rejects(untar(target.root, tarOf({ name }), flagSets.overlay), { code: "EXDEV" }, name);
  await assert.rejects(untar(target.root, tarOf({ name: "h", type: "1", link: "../../canary/file" }), 0), { code: "EXDEV" });
  await untar(target.root, tarOf({ name: "/etc/file", data: "inside" }), 0);
  assert.equal(readFileSync(join(target.root, "etc/file"), "utf8"), "inside");
});

test("a device 0/0, overlay's own mark, cannot be smuggled in; other devices only where they are allowed", async () => {
  using target = ground();
  await assert.rejects(untar(target.root, tarOf({ name: "x", type: "3", major: 0, minor: 0 }), flagSets.overlay), { code: "EPERM" });
  await assert.rejects(untar(target.root, tarOf({ name: "x", type: "3", major: 1, minor: 3 }), flagSets.apply), { code: "EPERM" });
});

test("owners that are no ids are refused", async () => {
  using target = ground();
  const base256 = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    bytes[0] = (bytes[0] ?? 0) | 0x80;
    return bytes;
  };
  for (const uid of [0xffffffffn, 0x100000000n, 0x7fffffffffffffn]) await assert.rejects(untar(target.root, tarOf({ name: "x", patch: [[108, base256(uid)]] }), flagSets.overlay), { code: "EINVAL" });
  await assert.rejects(untar(target.root, tarOf({ name: "x", pax: { uid: "-1" } }), flagSets.overlay), { code: "EINVAL" });
  for (const uid of ["0x0", "1 ", "", "99999999999999999999"]) {
    const result = untar(target.root, tarOf({ name: "x", pax: { uid } }), flagSets.overlay);
    if (uid === "") await result;
    else await assert.rejects(result, { code: "EBADMSG" });
  }
});

test("malformed headers are refused", async () => {
  using target = ground();
  const pax = (records: string): Buffer => Buffer.concat([header({ name: "p", type: "x" }, records.length), padded(Buffer.from(records)), entryBytes({ name: "f" }), Buffer.alloc(1024)]);
  const archives: Record<string, Buffer> = {
    checksum: tarOf({ name: "f", checksum: 1 }),
    "no tar": Buffer.alloc(1024, "x"),
    "negative size": tarOf({ name: "f", patch: [[124, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])]] }),
    "size beyond 63 bits": tarOf({ name: "f", patch: [[124, Buffer.from([0x80, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0])]] }),
    "letters in a number": tarOf({ name: "f", patch: [[100, "abc"]] }),
    "unknown kind": tarOf({ name: "f", type: "Z" }),
    "record too long": pax("99 path=x\n"),
    "record of length 0": pax("0 path=x\n"),
    "record without =": pax("7 path\n"),
    "record without newline": pax("9 path=xy"),
    "record length overflows": pax("99999999999999999999 path=x\n"),
    "NUL in a path": pax("11 path=x\0y\n"),
    "record ends in its length": pax("3 \n"),
    "sparse map out of order": tarOf({ name: "f", data: "xy", pax: { "GNU.sparse.map": "5,1,0,1", "GNU.sparse.size": "9" } }),
    "sparse map beyond the file": tarOf({ name: "f", data: "x", pax: { "GNU.sparse.map": "9,1", "GNU.sparse.size": "9" } }),
    "sparse map larger than its data": tarOf({ name: "f", data: "x", pax: { "GNU.sparse.map": "0,2", "GNU.sparse.size": "9" } }),
    "sparse map that overflows": tarOf({ name: "f", data: "x", pax: { "GNU.sparse.map": "9223372036854775807,1", "GNU.sparse.size": "9" } }),
    "sparse map in data that never ends": tarOf({ name: "f", data: "9".repeat(2000), pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" } }),
    "sparse folder": tarOf({ name: "f/", data: "", pax: { "GNU.sparse.map": "", "GNU.sparse.major": "0", "GNU.sparse.minor": "1" } }),
    "unknown sparse format": tarOf({ name: "f", pax: { "GNU.sparse.major": "2", "GNU.sparse.minor": "0" } }),
  };
  for (const [what, bytes] of Object.entries(archives)) await assert.rejects(untar(target.root, bytes, flagSets.overlay), { code: "EBADMSG" }, what);
});

test("budgets: bytes, entries, names, depth, extended headers", async () => {
  using target = ground();
  const run = async (bytes: Buffer, budget: object): Promise<void> => {
    const fd = openDirectory(target.root);
    using stream = new ArchiveStream({ root: fd, flags: flagSets.overlay, budget });
    closeSync(fd);
    await stream.push(bytes);
    await stream.finish();
  };
  await assert.rejects(run(tarOf({ name: "f", data: "x".repeat(600) }), { bytes: 599 }), { code: "E2BIG" });
  await assert.rejects(run(gzipSync(Buffer.alloc(1 << 20)), { bytes: 1000 }), { code: "E2BIG" });
  await assert.rejects(run(tarOf({ name: "a" }, { name: "b" }, { name: "c" }), { entries: 2 }), { code: "E2BIG" });
  await assert.rejects(run(tarOf({ name: "f", pax: { path: "x/".repeat(40) } }), { depth: 39 }), { code: "ENAMETOOLONG" });
  await assert.rejects(run(tarOf({ name: "f", pax: { comment: "x".repeat(2000) } }), { metadata: 1000 }), { code: "E2BIG" });
  await assert.rejects(run(tarOf({ name: "f", pax: { path: "y".repeat(256) } }), {}), { code: "ENAMETOOLONG" });
  await assert.rejects(run(tarOf({ name: "f", pax: { path: "y/".repeat(2100) } }), {}), { code: "ENAMETOOLONG" });
});

test("bombs stay in bounded memory: zeros by the gigabyte, a million whiteouts, a huge declared sparse file", { timeout: 300_000 }, async () => {
  using target = ground();
  const before = process.memoryUsage.rss();
  const push = async (make: (stream: ArchiveStream) => Promise<unknown>, budget: object): Promise<void> => {
    const fd = openDirectory(target.root);
    using stream = new ArchiveStream({ root: fd, flags: flagSets.overlay, budget });
    closeSync(fd);
    await make(stream);
  };
  for (const compress of [gzipSync, zstdCompressSync]) {
    /* 64 MiB of zeros a member, each a few KiB, again and again. */
    const member = compress(Buffer.alloc(64 << 20));
    // Control: whoever unpacks what comes gets thousands of times as much.
    assert.ok((compress === gzipSync ? gunzipSync : zstdDecompressSync)(member).length > 900 * member.length);
    await assert.rejects(
      push(async (stream) => {
        await stream.push(compress(header({ name: "f" }, 96 << 20)));
        for (let at = 0; at < 40; at++) await stream.push(member);
        await stream.finish();
      }, { bytes: 512 << 20 }),
      { code: "E2BIG" },
    );
  }
  const whiteout = entryBytes({ name: "d/.wh.x" });
  const block = Buffer.concat(Array.from({ length: 1000 }, () => whiteout));
  await push(async (stream) => {
    for (let at = 0; at < 1000; at++) await stream.push(block);
    await stream.finish();
  }, {});
  /* Without its data it takes no room, where the file system allows such files at all. */
  await untar(target.root, tarOf({ name: "s", pax: { "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "", "GNU.sparse.size": "9000000000000000000" } }), 0).catch(({ code }: NodeJS.ErrnoException) => assert.equal(code, "EFBIG"));
  assert.ok(process.memoryUsage.rss() - before < 300 << 20, `${(process.memoryUsage.rss() - before) >> 20} MiB more`);
});

test("image documents that can be read in two ways, or are too much, are refused", async () => {
  await using bench = openBench();
  const digest = `sha256:${"1".repeat(64)}`;
  const layout = (index: string, blobs: Record<string, string> = {}): Buffer =>
    tarOf({ name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' }, { name: "index.json", data: index }, ...Object.entries(blobs).map(([name, data]) => ({ name, data })));
  const blob = (text: string): { name: string; digest: string; size: number } => ({ name: `blobs/sha256/${hexOf(digestOf(text))}`, digest: digestOf(text), size: text.length });
  const withManifest = (text: string, mediaType = "application/vnd.oci.image.manifest.v1+json"): Buffer => {
    const { name, digest: of, size } = blob(text);
    return layout(JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, digest: of, size }] }), { [name]: text });
  };
  const descriptor = `{"mediaType":"x","digest":"${digest}","size":1}`;
  const cases: Record<string, [Buffer, RegExp]> = {
    "two kinds": [withManifest(`{"schemaVersion":2,"config":${descriptor},"layers":[],"manifests":[]}`), /either manifests or config and layers/],
    "other kind than its media type": [withManifest(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":${descriptor},"layers":[]}`), /does not fit its media type/],
    "index called a manifest": [withManifest('{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","manifests":[]}'), /does not fit its media type/],
    "schema 1": [withManifest('{"schemaVersion":1,"fsLayers":[]}'), /version 1/],
    "duplicate keys": [withManifest(`{"schemaVersion":2,"config":${descriptor},"config":${descriptor},"layers":[]}`), /twice/],
    "escaped duplicate keys": [withManifest(`{"schemaVersion":2,"config":${descriptor},"c\\u006fnfig":${descriptor},"layers":[]}`), /twice/],
    "missing content": [withManifest(`{"schemaVersion":2,"config":${descriptor},"layers":[]}`), /missing/],
    "wrong digest": [layout(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"${digest}","size":2}]}`, { [`blobs/sha256/${"1".repeat(64)}`]: "{}" }), /has the digest/],
    "wrong size": [layout(JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: "x", digest: blob("{}").digest, size: 3 }] }), { [blob("{}").name]: "{}" }), /has 2 bytes/],
    "digest with a path": [layout('{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../../../etc/passwd","size":1}]}'), /invalid digest/],
    "digest of another algorithm": [layout(`{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"md5:${"1".repeat(32)}","size":1}]}`), /invalid digest/],
    "negative size": [layout(`{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"${digest}","size":-1}]}`), /not a size/],
    "deep JSON": [layout(`{"schemaVersion":2,"manifests":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`), /deeper/],
    "large JSON": [layout(`{"schemaVersion":2,"manifests":[],"x":"${"x".repeat(5 << 20)}"}`), /more than/],
    "not UTF-8": [layout('{"schemaVersion":2,"manifests":[]}').fill(0xff, 1536 + 2, 1536 + 4), /UTF-8|invalid/],
    "manifest.json that leaves": [tarOf({ name: "manifest.json", data: '[{"Config":"../../etc/passwd","RepoTags":["evil:1"],"Layers":[]}]' }), /missing|leads/],
    "manifest.json that leaves by a link": [tarOf({ name: "c", type: "2", link: "/etc/passwd" }, { name: "manifest.json", data: '[{"Config":"c","RepoTags":["evil:1"],"Layers":[]}]' }), /missing/],
    "manifest.json to a FIFO": [tarOf({ name: "c", type: "6" }, { name: "manifest.json", data: '[{"Config":"c","RepoTags":["evil:1"],"Layers":[]}]' }), /missing/],
    "layer count": [tarOf({ name: "c", data: '{"rootfs":{"diff_ids":[]}}' }, { name: "manifest.json", data: '[{"Config":"c","RepoTags":["evil:1"],"Layers":["c"]}]' }), /layers/],
    "no manifest": [tarOf({ name: "x" }), /unrecognized image format/],
  };
  for (const [what, [bytes, expected]] of Object.entries(cases)) await assert.rejects(load(bench, bytes), expected, what);
  // Control: what a lenient reader makes of them. The last of two members counts, and a digest is a part of a path.
  assert.equal((JSON.parse('{"config":"first","c\\u006fnfig":"last"}') as { config: string }).config, "last");
  assert.ok(!join(bench.dir, "content", "sha256:../../../etc/passwd".replace(":", "/")).startsWith(join(bench.dir, "content")));
  assert.equal(bench.images.count(), 0);
  await bench.images.collect({ containers: new Set() });
  assert.deepEqual(bench.content.list(), []);
});

test("a layer that is not what the configuration says is not unpacked, and the image is not runnable", async () => {
  await using bench = openBench();
  const said = await load(bench, layoutOf("evil:1", [{ bytes: tarOf({ name: "f", data: "1" }), diffId: `sha256:${"2".repeat(64)}` }]));
  assert.match(said, /Error unpacking image evil:1: wrong diff id/);
  await assert.rejects(bench.images.layers.create("container", bench.images.resolve("evil:1")), /wrong diff id/);
  assert.deepEqual(bench.snapshotter.list(), []);
});

test("index that contains itself, and a million manifests", async () => {
  await using bench = openBench();
  const many = JSON.stringify({ schemaVersion: 2, manifests: Array.from({ length: 20_000 }, () => ({ mediaType: "x", digest: `sha256:${"3".repeat(64)}`, size: 1 })) });
  await assert.rejects(load(bench, tarOf({ name: "oci-layout", data: "{}" }, { name: "index.json", data: many })), /more than 1000 images/);
  let inner = JSON.stringify({ schemaVersion: 2, manifests: [] });
  const files: RawEntry[] = [];
  for (let depth = 0; depth < 10; depth++) {
    files.push({ name: `blobs/sha256/${hexOf(digestOf(inner))}`, data: inner });
    inner = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: "application/vnd.oci.image.index.v1+json", digest: digestOf(inner), size: inner.length }] });
  }
  await assert.rejects(load(bench, tarOf({ name: "oci-layout", data: "{}" }, { name: "index.json", data: inner }, ...files)), /nested too deeply/);
});

test("links of an uploaded archive are followed inside it only", async () => {
  await using bench = openBench();
  const config = JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digestOf(tarOf({ name: "f" }))] } });
  const said = await load(
    bench,
    tarOf({ name: "real/layer.tar", data: tarOf({ name: "f" }) }, { name: "id/layer.tar", type: "2", link: "../real/layer.tar" }, { name: "c.json", data: config }, { name: "manifest.json", data: JSON.stringify([{ Config: "c.json", RepoTags: ["old:1"], Layers: ["id/layer.tar"] }]) }),
  );
  assert.equal(said, "Loaded image: old:1\n");
  assert.throws(() => readlinkSync(join(bench.dir, "content/sha256", hexOf(digestOf(config)))));
});

test("what a registry says of its documents and layers is believed only when it is true", { timeout: 300_000 }, async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const layer = tarOf({ name: "f", data: "x".repeat(3000) });
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const real = registry.addBlob("application/vnd.oci.image.layer.v1.tar", layer);
  const config = (json: object): object => registry.addBlob("application/vnd.oci.image.config.v1+json", Buffer.from(JSON.stringify(json)));
  const plain = { architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [digestOf(layer)] } };
  const manifest = (parts: object): Parameters<FakeRegistry["tag"]>[1] => registry.addManifest(manifestType, { schemaVersion: 2, mediaType: manifestType, config: config(plain), layers: [real], ...parts });
  const bomb = gzipSync(Buffer.alloc(8 << 20));
  const deep = Buffer.from(`{"config":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);
  const cases: Record<string, Parameters<FakeRegistry["tag"]>[1]> = {
    "smaller-than-said": manifest({ layers: [{ ...real, size: real.size + 1 }] }),
    "larger-than-said": manifest({ layers: [{ ...real, size: 10 }] }),
    "negative-size": manifest({ layers: [{ ...real, size: -1 }] }),
    "endless-size": manifest({ layers: [{ ...real, size: 2 ** 53 - 1 }] }),
    "digest-of-a-path": manifest({ layers: [{ ...real, digest: "sha256:../../../../etc/passwd" }] }),
    "other-algorithm": manifest({ layers: [{ ...real, digest: `md5:${"0".repeat(32)}` }] }),
    "more-layers-than-diff-ids": manifest({ layers: [real, real] }),
    "other-diff-id": manifest({ config: config({ ...plain, rootfs: { type: "layers", diff_ids: [digestOf("other")] } }) }),
    "no-tar": manifest({ layers: [registry.addBlob("", bomb)], config: config({ ...plain, rootfs: { type: "layers", diff_ids: [digestOf("zeros")] } }) }),
    "configuration-is-a-manifest": manifest({ config: config({ layers: [] }) }),
    "deep-configuration": manifest({ config: registry.addBlob("application/vnd.oci.image.config.v1+json", deep) }),
    "huge-configuration": manifest({ config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: real.digest, size: 9 << 20 } }),
    "two-kinds-at-once": registry.addManifest(manifestType, { schemaVersion: 2, config: config(plain), layers: [real], manifests: [] }),
    "manifest-that-says-index": registry.addManifest("application/vnd.oci.image.index.v1+json", { schemaVersion: 2, config: config(plain), layers: [real] }),
    "no-json": registry.addManifest(manifestType, []),
  };
  const before = process.memoryUsage.rss();
  for (const [name, target] of Object.entries(cases)) {
    registry.tag(name, target);
    await assert.rejects(pullTag(bench, name), (error: { code?: string }) => ["invalid-parameter", "data-loss", "system", "not-found"].includes(error.code ?? ""), name);
  }
  assert.equal(bench.images.count(), 0);
  await bench.images.prune({ filters: new Filters(new Map()) });
  assert.deepEqual([bench.content.list(), bench.content.ingests(), bench.snapshotter.list().filter(({ kind }) => kind === "committed")], [[], [], []]);
  assert.ok(process.memoryUsage.rss() - before < 200 << 20);
});
