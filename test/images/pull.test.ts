/** Pulls from a registry without a network. The real ones are in test/e2e. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { PullMessage } from "../../src/engine/images/pull/progress.ts";
import { type Digest, digestOf, hexOf } from "../../src/lib/digest.ts";
import { Filters } from "../../src/lib/filters.ts";
import type { Descriptor } from "../../src/lib/oci-image.ts";
import { type Platform, parsePlatform } from "../../src/lib/platform.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, openBench } from "./bench.ts";
import { FakeRegistry } from "./fake-registry.ts";

const layer = (name: string, size = 10): Buffer => tarOf({ name: `${name}/`, type: "5" }, { name: `${name}/file`, data: randomBytes(size).toString("base64") });

interface PullOptions {
  platform?: string;
  signal?: AbortSignal;
}

async function pull({ images }: ImageBench, name: string, options: PullOptions = {}): Promise<PullMessage[]> {
  const said: PullMessage[] = [];
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  await images.pull({ reference: parseReference(name), platform, access: {}, signal: options.signal ?? new AbortController().signal, report: (message) => void said.push(message) });
  return said;
}

const statuses = (said: readonly PullMessage[], id?: string): string[] => [...new Set(said.filter((message) => id === undefined || message.id === id).map(({ status }) => status))];
const short = (digest: Digest): string => hexOf(digest).slice(0, 12);

/** The files of an image as a container would see them. */
async function filesOf({ images, dir }: ImageBench, name: string): Promise<string[]> {
  const id = `c-${randomBytes(4).toString("hex")}`;
  await images.layers.create(id, images.resolve(name));
  const [mount] = images.layers.mounts(id);
  assert.ok(mount?.type === "overlay", dir);
  const found = new Set(mount.lower.flatMap((folder) => readdirSync(folder)));
  await images.layers.remove(id);
  return [...found].sort();
}

const nothingLeft = ({ dir }: ImageBench): void => assert.deepEqual(readdirSync(join(dir, "content/ingest")), []);

test("layers in each compression, in manifests of either kind; the second pull fetches nothing", async () => {
  for (const kind of ["oci", "docker"] as const) {
    const registry = new FakeRegistry();
    await using bench = openBench({ registries: registry });
    const [a, b, c] = [layer("a", 300_000), layer("b", 300_000), layer("c")];
    const target = registry.addImage([{ bytes: gzipSync(a), diffId: digestOf(a) }, { bytes: zstdCompressSync(b), diffId: digestOf(b) }, { bytes: c }], { kind, config: { Labels: { of: "test" } } });
    registry.tag("1", target);
    const said = await pull(bench, "r.test/x:1");
    assert.deepEqual(said[0], { status: "Pulling from x", id: "1" });
    assert.deepEqual(said.slice(-2), [{ status: `Digest: ${target.digest}` }, { status: "Status: Downloaded newer image for r.test/x:1" }]);
    assert.deepEqual(statuses(said, short(digestOf(c))).filter((status) => status !== "Downloading" && status !== "Waiting" && status !== "Extracting"), ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]);
    assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["a", "b", "c"]);
    nothingLeft(bench);
    const { RepoDigests, RepoTags } = await bench.images.inspect("r.test/x:1", { platform: undefined, manifests: false });
    assert.deepEqual([RepoTags, RepoDigests], [["r.test/x:1"], [`r.test/x@${target.digest}`]]);
    const event = bench.events.find(({ action }) => action === "pull");
    assert.deepEqual(event?.actor, { id: "r.test/x:1", attributes: { of: "test", name: "r.test/x" } });
    registry.asked.length = 0;
    assert.deepEqual(await pull(bench, "r.test/x:1"), [{ status: "Pulling from x", id: "1" }, { status: `Digest: ${target.digest}` }, { status: "Status: Image is up to date for r.test/x:1" }]);
    assert.deepEqual(registry.asked, ["resolve 1"]);
  }
});

test("of an index the image of the platform, with its variant, never an attestation", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const one = (name: string, platform: Platform): Descriptor => ({ ...registry.addImage([{ bytes: layer(name) }], { document: platform }), platform });
  const parts = [
    one("arm6", { os: "linux", architecture: "arm", variant: "v6" }),
    one("arm7", { os: "linux", architecture: "arm", variant: "v7" }),
    { ...one("attestation", { os: "linux", architecture: "amd64" }), annotations: { "vnd.docker.reference.type": "attestation-manifest" } },
    one("amd64", { os: "linux", architecture: "amd64" }),
  ];
  const index = registry.addIndex(parts);
  registry.tag("1", index);
  await pull(bench, "r.test/x:1");
  assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["amd64"]);
  assert.equal(bench.images.idOf("r.test/x:1"), index.digest);
  await pull(bench, "r.test/x:1", { platform: "linux/arm/v7" });
  assert.ok(bench.content.has(parts[1]?.digest as Digest) && !bench.content.has(parts[0]?.digest as Digest));
  await assert.rejects(pull(bench, "r.test/x:1", { platform: "linux/s390x" }), { code: "not-found", message: /^no matching manifest for linux\/s390x in the manifest list entries/ });
});

test("by digest, and all tags", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const [one, two] = [registry.addImage([{ bytes: layer("one") }]), registry.addImage([{ bytes: layer("two") }])];
  await pull(bench, `r.test/x@${one.digest}`);
  const { RepoDigests, RepoTags } = await bench.images.inspect(`r.test/x@${one.digest}`, { platform: undefined, manifests: false });
  assert.deepEqual([RepoTags, RepoDigests], [[`r.test/x@${one.digest}`], [`r.test/x@${one.digest}`]]);
  registry.tag("1", one);
  registry.tag("2", two);
  const said = statuses(await pull(bench, "r.test/x"));
  assert.deepEqual(said.filter((text) => text.startsWith("Status")), ["Status: Downloaded newer image for r.test/x:1", "Status: Downloaded newer image for r.test/x:2"]);
});

test("a tag that moved: the former image stays without a name", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const [one, two] = [registry.addImage([{ bytes: layer("one") }]), registry.addImage([{ bytes: layer("two") }])];
  registry.tag("1", one);
  await pull(bench, "r.test/x:1");
  registry.tag("1", two);
  assert.equal((await pull(bench, "r.test/x:1")).at(-1)?.status, "Status: Downloaded newer image for r.test/x:1");
  assert.equal(bench.images.idOf("r.test/x:1"), two.digest);
  assert.equal(bench.images.idOf(one.digest), one.digest);
});

test("a tag that moves during a pull: the image that it pointed to at first, whole", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const [one, two] = [registry.addImage([{ bytes: layer("one") }, { bytes: layer("more") }]), registry.addImage([{ bytes: layer("two") }])];
  registry.tag("1", one);
  registry.pace = () => registry.tag("1", two);
  assert.ok(statuses(await pull(bench, "r.test/x:1")).includes(`Digest: ${one.digest}`));
  assert.equal(bench.images.idOf("r.test/x:1"), one.digest);
  assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["more", "one"]);
  await pull(bench, "r.test/x:1");
  assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["two"]);
});

test("fifty pulls at once of images that share layers: each layer is fetched and unpacked once", async () => {
  const registry = new FakeRegistry();
  registry.chunk = 10_000;
  await using bench = openBench({ registries: registry });
  const shared = ["a", "b", "c"].map((name) => ({ bytes: layer(name, 50_000) }));
  const names = Array.from({ length: 50 }, (_, at) => `own${at}`);
  for (const [at, name] of names.entries()) registry.tag(name, registry.addImage([...shared.slice(0, 1 + (at % 3)), { bytes: layer(name) }]));
  await Promise.all(names.map((name) => pull(bench, `r.test/x:${name}`)));
  const fetched = registry.asked.filter((line) => line.startsWith("blob "));
  assert.equal(new Set(fetched).size, fetched.length);
  assert.equal(registry.sent.reduce((sum, bytes) => sum + bytes, 0), [...registry.blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0));
  assert.equal(bench.images.count(), 50);
  assert.equal(bench.snapshotter.list().length, 53);
  assert.deepEqual(await filesOf(bench, "r.test/x:own2"), ["a", "b", "c", "own2"]);
  assert.deepEqual((await bench.images.audit({ containers: () => new Set(), patienceMilliseconds: 0 })).findings, []);
});

test("a layer that several pulls want is fetched once; the last one that leaves ends it", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const shared = layer("shared", 500_000);
  registry.tag("1", registry.addImage([{ bytes: shared }, { bytes: layer("one") }]));
  registry.tag("2", registry.addImage([{ bytes: shared }, { bytes: layer("two") }]));
  const gate = Promise.withResolvers<void>();
  registry.pace = (digest, offset) => (digest === digestOf(shared) && offset > 0 ? gate.promise : undefined);
  const first = new AbortController();
  const pulls = [pull(bench, "r.test/x:1", { signal: first.signal }), pull(bench, "r.test/x:2")];
  while (registry.asked.filter((line) => line.startsWith("blob")).length < 5) await new Promise(setImmediate);
  first.abort();
  await assert.rejects(pulls[0] as Promise<unknown>, { code: "cancelled" });
  gate.resolve();
  await pulls[1];
  assert.deepEqual(await filesOf(bench, "r.test/x:2"), ["shared", "two"]);
  assert.deepEqual(registry.offsetsOf(digestOf(shared)), [0]);
  assert.equal(bench.images.idOf("r.test/x:1"), undefined);
  assert.ok(bench.content.ingests().every(({ ref }) => ref !== digestOf(shared)));
});

test("a pull that was left goes on where it was, also in the next daemon", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-pull-"));
  try {
    const registry = new FakeRegistry();
    const big = layer("big", 1_000_000);
    registry.tag("1", registry.addImage([{ bytes: big }]));
    {
      await using bench = openBench({ dir, registries: registry });
      const leaving = new AbortController();
      registry.pace = (_, offset) => (offset >= 512 << 10 ? leaving.abort() : undefined);
      await assert.rejects(pull(bench, "r.test/x:1", { signal: leaving.signal }), { code: "cancelled" });
      registry.pace = () => undefined;
      assert.equal(bench.images.count(), 0);
      assert.deepEqual(bench.content.ingests().map(({ ref, offset, total }) => [ref, offset > 0, total]), [[digestOf(big), true, big.length]]);
      registry.breaks.set(digestOf(big), 700_000);
      await assert.rejects(pull(bench, "r.test/x:1"), { code: "unavailable" });
    }
    await using bench = openBench({ dir, registries: registry });
    await bench.images.collect({ containers: new Set() });
    await pull(bench, "r.test/x:1");
    const offsets = registry.offsetsOf(digestOf(big));
    assert.equal(offsets.length, 3);
    assert.ok(offsets[1] !== undefined && offsets[1] >= 512 << 10, String(offsets));
    assert.equal(offsets[2], 700_000);
    assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["big"]);
    nothingLeft(bench);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("bytes that are not those of the digest are fetched once more, then refused; nothing of them is kept", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const bytes = gzipSync(layer("a", 300_000));
  const bad = Buffer.from(bytes);
  bad.fill(0xff, 1000, 1100);
  registry.tag("1", registry.addImage([{ bytes, diffId: digestOf(layer("a")) }]));
  registry.wrong.set(digestOf(bytes), bad);
  registry.tag("1", registry.addImage([{ bytes, diffId: digestOf(layer("other")) }]));
  await assert.rejects(pull(bench, "r.test/x:1"), { message: /^wrong diff id calculated on extraction/ });
  assert.deepEqual(registry.offsetsOf(digestOf(bytes)), [0, 0]);
  const plain = layer("b", 300_000);
  registry.tag("2", registry.addImage([{ bytes: gzipSync(plain), diffId: digestOf(plain) }]));
  const digest = digestOf(gzipSync(plain));
  registry.wrong.set(digest, bad);
  registry.blobs.set(digest, Buffer.from(gzipSync(plain).fill(1, 500, 600)));
  await assert.rejects(pull(bench, "r.test/x:2"), { code: "data-loss", message: /^failed to verify content: expected sha256:/ });
  assert.equal(bench.images.count(), 0);
  nothingLeft(bench);
  while (bench.snapshotter.list().some(({ kind }) => kind === "active")) await new Promise(setImmediate);
  await bench.images.collect();
  assert.deepEqual([bench.content.list(), bench.snapshotter.list()], [[], []]);
});

test("a partial download that was damaged on the disk is found out and fetched from the start", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const big = layer("big", 1_000_000);
  registry.tag("1", registry.addImage([{ bytes: big }]));
  registry.breaks.set(digestOf(big), 500_000);
  await assert.rejects(pull(bench, "r.test/x:1"));
  writeFileSync(join(bench.dir, "content/ingest", hexOf(digestOf(big)), "data"), Buffer.alloc(500_000, 1));
  await pull(bench, "r.test/x:1");
  assert.deepEqual(registry.offsetsOf(digestOf(big)), [0, 500_000, 0]);
  assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["big"]);
});

test("blobs that were damaged on the disk are fetched again by a pull that needs them", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const shared = layer("shared", 10_000);
  const target = registry.addImage([{ bytes: shared }]);
  registry.tag("1", target);
  await pull(bench, "r.test/x:1");
  const manifest = join(bench.dir, "content/sha256", hexOf(target.digest));
  const text = readFileSync(manifest);
  appendFileSync(manifest, " ");
  appendFileSync(join(bench.dir, "content/sha256", hexOf(digestOf(shared))), "more");
  await bench.snapshotter.remove(digestOf(shared));
  await pull(bench, "r.test/x:1");
  assert.deepEqual(readFileSync(manifest), text);
  assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["shared"]);
});

test("layers that rely on their parents are unpacked onto them, also while they arrive", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const lower = tarOf({ name: "dir/", type: "5", mode: 0o711 }, { name: "dir/old", data: "old" });
  const upper = tarOf({ name: "dir/new", data: "new" }, { name: "link", type: "1", link: "dir/old" });
  registry.tag("1", registry.addImage([{ bytes: lower }, { bytes: upper }]));
  registry.pace = async (digest) => void (digest === digestOf(lower) && (await new Promise((resolve) => setTimeout(resolve, 30))));
  await pull(bench, "r.test/x:1");
  assert.deepEqual(await filesOf(bench, "r.test/x:1"), ["dir", "link"]);
});

test("what is no image that could run is refused by name, and nothing stays", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  registry.tag("schema1", registry.addManifest("application/vnd.docker.distribution.manifest.v1+prettyjws", { schemaVersion: 1, fsLayers: [] }));
  await assert.rejects(pull(bench, "r.test/x:schema1"), { code: "invalid-parameter", message: /schema 1, which is not supported any more: .*skopeo copy/ });
  const chart = { mediaType: "application/vnd.cncf.helm.config.v1+json", digest: digestOf(Buffer.from("{}")), size: 2 };
  registry.tag("chart", registry.addManifest("application/vnd.oci.image.manifest.v1+json", { schemaVersion: 2, config: chart, layers: [] }));
  await assert.rejects(pull(bench, "r.test/x:chart"), { code: "invalid-parameter", message: /is not an image that can be run: its configuration is "application\/vnd.cncf.helm/ });
  registry.tag("both", registry.addManifest("application/vnd.oci.image.manifest.v1+json", { schemaVersion: 2, config: chart, layers: [], manifests: [] }));
  await assert.rejects(pull(bench, "r.test/x:both"), { code: "invalid-parameter" });
  const self = registry.addIndex([]);
  const loop = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: self.mediaType, manifests: [{ ...self, platform: { os: "linux", architecture: "amd64" } }] }));
  registry.manifests.set(self.digest, { mediaType: self.mediaType, bytes: loop });
  registry.tag("loop", self);
  await assert.rejects(pull(bench, "r.test/x:loop"), { code: "data-loss" });
  await assert.rejects(pull(bench, "r.test/x:none"), { code: "not-found", message: "none: not found" });
  await bench.images.collect();
  assert.deepEqual([bench.images.count(), bench.content.list(), existsSync(join(bench.dir, "content/ingest"))], [0, [], true]);
  nothingLeft(bench);
});

test("one layer that cannot be had ends the pull, and the others stop", async () => {
  const registry = new FakeRegistry();
  await using bench = openBench({ registries: registry });
  const [good, gone] = [layer("good", 5_000_000), layer("gone")];
  registry.tag("1", registry.addImage([{ bytes: good }, { bytes: gone }]));
  registry.breaks.set(digestOf(gone), 1);
  const begun = Promise.withResolvers<void>();
  registry.pace = (digest, offset) => (digest === digestOf(gone) ? begun.promise : offset > 0 ? begun.resolve() : undefined);
  await assert.rejects(pull(bench, "r.test/x:1"), { code: "unavailable" });
  const left = bench.content.ingests();
  assert.ok(left.length > 0 && left.every(({ offset, total }) => offset > 0 && offset < total));
  while (bench.snapshotter.list().length > 0) await new Promise(setImmediate);
});

test("what an unfinished pull has stays over a restart, until a prune", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-pull-"));
  try {
    const registry = new FakeRegistry();
    const [done, big] = [layer("done", 10_000), layer("big", 1_000_000)];
    registry.tag("1", registry.addImage([{ bytes: done }, { bytes: big }]));
    const attempt = async (): Promise<void> => {
      registry.breaks.set(digestOf(big), 500_000);
      await using bench = openBench({ dir, registries: registry });
      await bench.images.collect({ containers: new Set() });
      registry.pace = async (digest, offset) => {
        while (digest === digestOf(big) && offset > 0 && !bench.content.has(digestOf(done))) await new Promise(setImmediate);
      };
      await assert.rejects(pull(bench, "r.test/x:1"), { code: "unavailable" });
    };
    await attempt();
    await attempt();
    assert.deepEqual([registry.offsetsOf(digestOf(done)), registry.offsetsOf(digestOf(big))], [[0], [0, 500_000]]);
    await using bench = openBench({ dir, registries: registry });
    await bench.images.collect({ containers: new Set() });
    const filters = new Filters(new Map());
    const plan = await bench.images.planPrune(filters);
    assert.ok(plan.SpaceReclaimed > 510_000, String(plan.SpaceReclaimed));
    assert.equal((await bench.images.prune({ filters, state: plan.State })).SpaceReclaimed, plan.SpaceReclaimed);
    assert.deepEqual([bench.content.list(), bench.snapshotter.list(), bench.content.ingests()], [[], [], []]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
