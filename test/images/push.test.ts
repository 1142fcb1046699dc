/** Pushes from the content store to a registry in this process, over HTTP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Digest, digestOf } from "../../src/lib/digest.ts";
import { mediaTypes } from "../../src/lib/oci-image.ts";
import { parsePlatform } from "../../src/lib/platform.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { FakeRegistry } from "../../src/registry/testing/fake-registry.ts";
import { openRegistries } from "../../src/registry/testing/open.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, openBench } from "./bench.ts";

interface Sent {
  status?: string;
  id?: string;
  aux?: Record<string, unknown>;
}

const never = new AbortController().signal;

async function push(bench: ImageBench, name: string, platform?: string, signal = never): Promise<Sent[]> {
  const sent: Sent[] = [];
  await bench.images.push({ reference: parseReference(name), platform: platform === undefined ? undefined : parsePlatform(platform), access: {}, signal, report: (message) => void sent.push(message as Sent) });
  return sent;
}

const pull = (bench: ImageBench, name: string, platform?: string): Promise<void> =>
  bench.images.pull({ reference: parseReference(name), platform: platform === undefined ? undefined : parsePlatform(platform), access: {}, signal: never, report: () => undefined });

/** An image of each architecture, with a layer of its own and one that all have; and the index of all as tag "1". */
function addIndex(registry: FakeRegistry, architectures: readonly string[]): { index: Digest; manifests: Digest[]; blobs: Digest[] } {
  const blobs: Digest[] = [];
  const add = (mediaType: string, bytes: Buffer): object => {
    blobs.push(registry.addBlob(bytes));
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const manifests = architectures.map((architecture) => {
    const layers = [tarOf({ name: "common", data: "x" }), tarOf({ name: architecture, data: architecture })];
    const config = add(mediaTypes.ociConfig, Buffer.from(JSON.stringify({ architecture, os: "linux", config: {}, rootfs: { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) } })));
    return registry.addManifest(`only-${architecture}`, { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: layers.map((layer) => add(mediaTypes.ociLayer, layer)) });
  });
  const entries = manifests.map((digest, at) => ({ mediaType: mediaTypes.ociManifest, digest, size: registry.manifests.get(digest)?.bytes.length, platform: { os: "linux", architecture: architectures[at] } }));
  const index = registry.addManifest("1", { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries }, mediaTypes.ociIndex);
  return { index, manifests, blobs: [...new Set(blobs)] };
}

test("an index goes whole when all of it is here, its images first", async () => {
  await using from = await FakeRegistry.start();
  await using to = await FakeRegistry.start();
  using registries = openRegistries();
  await using bench = openBench({ registries });
  const { index, manifests, blobs } = addIndex(from, ["amd64", "arm64"]);
  await pull(bench, `${from.host}/a:1`);
  await pull(bench, `${from.host}/a:1`, "linux/arm64");
  bench.images.tag(`${from.host}/a:1`, parseReference(`${to.host}/b:new`));
  const sent = await push(bench, `${to.host}/b:new`);
  assert.deepEqual(sent[0], { status: `The push refers to repository [${to.host}/b]` });
  assert.deepEqual(sent.at(-1), { status: `new: digest: ${index} size: ${from.manifests.get("1")?.bytes.length}` });
  assert.deepEqual([...to.blobs.keys()].sort(), blobs.sort());
  for (const digest of [index, ...manifests]) assert.ok(to.manifests.get(digest)?.bytes.equals(from.manifests.get(digest)?.bytes ?? Buffer.alloc(0)));
  const puts = to.lines().filter((line) => line.startsWith("PUT /v2/b/manifests/"));
  assert.equal(puts.at(-1), "PUT /v2/b/manifests/new");
  assert.deepEqual(bench.events.at(-1), { type: "image", action: "push", actor: { id: `${to.host}/b:new`, attributes: { name: `${to.host}/b` } } });
  /* Nothing is sent twice. */
  to.asked.length = 0;
  const again = await push(bench, `${to.host}/b:new`);
  assert.ok(to.asked.every(({ method }) => method === "HEAD"));
  assert.ok(again.filter(({ id }) => id !== undefined).some(({ status }) => status === "Layer already exists"));
});

test("of an index of which not all is here, the image that is", async () => {
  await using from = await FakeRegistry.start();
  await using to = await FakeRegistry.start();
  using registries = openRegistries();
  await using bench = openBench({ registries });
  const { index, manifests } = addIndex(from, ["amd64", "arm64", "s390x"]);
  await pull(bench, `${from.host}/a:1`);
  bench.images.tag(`${from.host}/a:1`, parseReference(`${to.host}/b:1`));
  const sent = await push(bench, `${to.host}/b:1`);
  const aux = sent.find((message) => message.aux)?.aux as { manifestPushedInsteadOfIndex: boolean; originalIndex: { digest: string }; selectedManifest: { digest: string } };
  assert.deepEqual([aux.manifestPushedInsteadOfIndex, aux.originalIndex.digest, aux.selectedManifest.digest], [true, index, manifests[0]]);
  assert.equal(digestOf(to.manifests.get("1")?.bytes ?? ""), manifests[0]);
  /* By name of its platform, without a note; and one that is not here. */
  await pull(bench, `${from.host}/a:1`, "linux/arm64");
  assert.ok((await push(bench, `${to.host}/b:1`, "linux/arm64")).every((message) => message.aux === undefined));
  assert.equal(digestOf(to.manifests.get("1")?.bytes ?? ""), manifests[1]);
  await assert.rejects(push(bench, `${to.host}/b:1`, "linux/s390x"), { code: "not-found", message: `image with reference ${to.host}/b:1 was found but does not provide the specified platform (linux/s390x)` });
});

test("all tags of a repository, or nothing", async () => {
  await using from = await FakeRegistry.start();
  await using to = await FakeRegistry.start();
  using registries = openRegistries();
  await using bench = openBench({ registries });
  addIndex(from, ["amd64"]);
  await pull(bench, `${from.host}/a:1`);
  for (const tag of ["x", "y"]) bench.images.tag(`${from.host}/a:1`, parseReference(`${to.host}/b:${tag}`));
  bench.images.tag(`${from.host}/a:1`, parseReference(`${to.host}/bb:z`));
  await push(bench, `${to.host}/b`);
  assert.deepEqual([...to.manifests.keys()].filter((name) => !name.includes(":")).sort(), ["x", "y"]);
  await assert.rejects(push(bench, `${to.host}/none`), { message: `An image does not exist locally with the tag: ${to.host}/none` });
  await assert.rejects(push(bench, `${to.host}/b:none`), { code: "not-found", message: `tag does not exist: ${to.host}/b:none` });
});

test("layers are mounted from where an image here says they are", async () => {
  await using to = await FakeRegistry.start();
  using registries = openRegistries();
  await using bench = openBench({ registries });
  addIndex(to, ["amd64"]);
  await pull(bench, `${to.host}/team/source:1`);
  bench.images.tag(`${to.host}/team/source:1`, parseReference(`${to.host}/target:1`));
  to.blobs.clear();
  to.mountable.add("team/source");
  const sent = await push(bench, `${to.host}/target:1`);
  assert.equal(sent.filter(({ status }) => status === "Mounted from team/source").length, 2);
});

test("one blob that is refused ends the push, and the others stop", async () => {
  await using from = await FakeRegistry.start();
  await using to = await FakeRegistry.start();
  using registries = openRegistries();
  await using bench = openBench({ registries });
  const { blobs } = addIndex(from, ["amd64"]);
  await pull(bench, `${from.host}/a:1`);
  bench.images.tag(`${from.host}/a:1`, parseReference(`${to.host}/b:1`));
  to.rule = ({ method, url }) => (method === "PUT" && url.search.includes(encodeURIComponent(blobs.at(-1) ?? "")) ? { status: 403, body: '{"errors":[{"code":"DENIED","message":"no"}]}' } : undefined);
  await assert.rejects(push(bench, `${to.host}/b:1`), { code: "forbidden", message: "error from registry: no" });
  assert.equal(to.manifests.size, 0);
  to.rule = () => undefined;
  await assert.rejects(push(bench, `${to.host}/b:1`, undefined, AbortSignal.abort()), { code: "cancelled" });
});
