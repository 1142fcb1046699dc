/** Images of several platforms with attestations: pulled, listed, asked for, removed one by one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Digest, digestOf } from "../../src/lib/digest.ts";
import { type Descriptor, mediaTypes } from "../../src/lib/oci-image.ts";
import type { Platform } from "../../src/lib/platform.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, load, openBench } from "./bench.ts";
import { FakeRegistry } from "./fake-registry.ts";

const amd64: Platform = { os: "linux", architecture: "amd64" };
const s390x: Platform = { os: "linux", architecture: "s390x" };
const provenance = '{"_type":"https://in-toto.io/Statement/v0.1", "number":12345678901234567890}';

/** As BuildKit writes it. */
function attestationFor(registry: FakeRegistry, subject: Digest, statements: Readonly<Record<string, string>>): object {
  const layers = Object.entries(statements).map(([type, text]) => ({ ...registry.addBlob("application/vnd.in-toto+json", Buffer.from(text)), annotations: { "in-toto.io/predicate-type": type } }));
  const config = registry.addBlob(mediaTypes.ociConfig, Buffer.from(JSON.stringify({ architecture: "unknown", os: "unknown", rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) } })));
  const manifest = registry.addManifest(mediaTypes.ociManifest, { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers });
  return { ...manifest, platform: { os: "unknown", architecture: "unknown" }, annotations: { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject } };
}

interface Built {
  registry: FakeRegistry;
  index: Descriptor;
  of: Record<"amd64" | "s390x", Descriptor>;
}

function builtImage(): Built {
  const registry = new FakeRegistry();
  const shared = tarOf({ name: "shared", data: "s" });
  const imageOf = (architecture: string): Descriptor => registry.addImage([{ bytes: shared }, { bytes: tarOf({ name: architecture, data: architecture }) }], { document: { architecture } });
  const of = { amd64: imageOf("amd64"), s390x: imageOf("s390x") };
  const index = registry.addIndex([
    { ...of.amd64, platform: amd64 },
    { ...of.s390x, platform: s390x },
    attestationFor(registry, of.amd64.digest, { "https://slsa.dev/provenance/v1": provenance, "https://spdx.dev/Document": "{}" }),
    attestationFor(registry, of.s390x.digest, { "https://slsa.dev/provenance/v1": "{}" }),
  ]);
  registry.tag("1", index);
  return { registry, index, of };
}

async function pull({ images }: ImageBench, platform?: Platform): Promise<void> {
  await images.pull({ reference: parseReference("r.test/x:1"), platform, access: {}, signal: new AbortController().signal, report: () => undefined });
}

test("the attestation of the image that is pulled comes with it, and is an attestation, not an image", async () => {
  const { registry, of } = builtImage();
  await using bench = openBench({ registries: registry });
  await pull(bench);
  const { Manifests = [] } = await bench.images.inspect("r.test/x:1", { platform: undefined, manifests: true });
  assert.deepEqual(Manifests.map(({ Kind, Available, AttestationData }) => [Kind, Available, AttestationData?.For]), [
    ["image", true, undefined],
    ["image", false, undefined],
    ["attestation", true, of.amd64.digest],
    ["attestation", false, of.s390x.digest],
  ]);
  assert.equal(bench.images.resolve("r.test/x:1").manifest.digest, of.amd64.digest);
  assert.equal(bench.snapshotter.list().length, 2);
  await bench.images.collect();
  const ask = (options: { platform?: Platform; types?: string[]; withStatement?: boolean }): [string, string | undefined][] =>
    bench.images.attestations("r.test/x:1", { platform: undefined, types: [], withStatement: false, ...options }).map(({ predicateType, statement }) => [predicateType, statement]);
  assert.deepEqual(ask({}), [["https://slsa.dev/provenance/v1", undefined], ["https://spdx.dev/Document", undefined]]);
  assert.deepEqual(ask({ types: ["https://slsa.dev/provenance/v1"], withStatement: true, platform: amd64 }), [["https://slsa.dev/provenance/v1", provenance]]);
  assert.deepEqual(ask({ types: ["nothing"] }), []);
  assert.throws(() => ask({ platform: { os: "linux", architecture: "riscv64" } }), { code: "not-found", message: /no manifest for platform linux\/riscv64/ });
  await bench.images.remove("r.test/x:1", {});
  assert.deepEqual([bench.content.list(), bench.snapshotter.list()], [[], []]);
});

test("a registry that lost an attestation still gives the image", async () => {
  const { registry, index } = builtImage();
  for (const [digest, { bytes }] of registry.manifests) if (digest !== index.digest && bytes.includes("in-toto")) registry.manifests.delete(digest);
  await using bench = openBench({ registries: registry });
  await pull(bench);
  assert.deepEqual(bench.images.resolve("r.test/x:1").id, index.digest);
});

test("single platforms are removed by force; what they share with others stays, and they can be pulled again", async () => {
  const { registry, index, of } = builtImage();
  await using bench = openBench({ registries: registry });
  await pull(bench);
  await pull(bench, s390x);
  await assert.rejects(bench.images.remove("r.test/x:1", { platforms: [s390x] }), { code: "invalid-parameter", message: /^Content will be removed from all images referencing this variant\./ });
  await assert.rejects(bench.images.remove("r.test/x:1", { platforms: [{ os: "linux", architecture: "riscv64" }], force: true }), { code: "not-found", message: /^failed to delete platform linux\/riscv64 for image sha256:/ });
  assert.deepEqual(await bench.images.remove("r.test/x:1", { platforms: [s390x], force: true }), [{ Deleted: of.s390x.digest }]);
  assert.equal(bench.content.has(digestOf(tarOf({ name: "shared", data: "s" }))), true);
  assert.equal(bench.content.has(digestOf(tarOf({ name: "s390x", data: "s390x" }))), false);
  assert.deepEqual([bench.snapshotter.list().length, bench.images.resolve("r.test/x:1").id], [2, index.digest]);
  assert.deepEqual((await bench.images.audit({ containers: () => new Set(), patienceMilliseconds: 1 })).findings, []);
  await pull(bench, s390x);
  assert.equal(bench.content.has(of.s390x.digest), true);
});

test("the only platform of an image without an index goes with the image", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/x:1", [{ bytes: tarOf({ name: "f" }) }]));
  const { id } = bench.images.resolve("x:1");
  assert.deepEqual(await bench.images.remove("x:1", { platforms: [amd64], force: true }), [{ Untagged: "x:1" }, { Deleted: id }]);
  assert.deepEqual(bench.content.list(), []);
});

test("an image that another was committed from stays without a name until that one goes", async () => {
  await using bench = openBench();
  await load(bench, layoutOf("docker.io/library/base:1", [{ bytes: tarOf({ name: "f" }) }]));
  const base = bench.images.resolve("base:1");
  const commit = async (name: string): Promise<Digest> => {
    await bench.images.layers.create("c", base);
    const id = await bench.images.layers.commit({ containerId: "c", base: base.manifest, reference: parseReference(name), parent: base.id, settings: {}, createdBy: "sh", author: "", comment: name });
    await bench.images.layers.remove("c");
    return id;
  };
  const first = await commit("child:1");
  const second = await commit("child:2");
  assert.deepEqual(await bench.images.remove("base:1", {}), [{ Untagged: "base:1" }, { Deleted: base.id }]);
  assert.equal(bench.images.resolve(base.id).id, base.id);
  assert.deepEqual(await bench.images.remove("child:1", { keepParents: true }), [{ Untagged: "child:1" }, { Deleted: first }]);
  assert.equal(bench.images.resolve(base.id).id, base.id);
  assert.deepEqual(await bench.images.remove("child:2", {}), [{ Untagged: "child:2" }, { Deleted: second }, { Deleted: base.id }]);
  assert.deepEqual([bench.images.count(), bench.content.list()], [0, []]);
});
