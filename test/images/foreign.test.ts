/** Layers whose publisher lets nobody pass them on: fetched from where their descriptor says, neither saved nor pushed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { BlobSource, DownloadOptions, Repository } from "../../src/core/registry.ts";
import { digestOf, hexOf } from "../../src/lib/digest.ts";
import { mediaTypes } from "../../src/lib/oci-image.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { load, openBench } from "./bench.ts";
import { FakeRegistry } from "./fake-registry.ts";

const elsewhere = "https://elsewhere.example/layer";

class Watched extends FakeRegistry {
  readonly urls: (readonly string[] | undefined)[] = [];
  readonly pushed: string[] = [];

  override repository(): Repository {
    const repository = super.repository();
    return {
      ...repository,
      openBlob: (blob: BlobSource, options?: DownloadOptions) => {
        this.urls.push(blob.urls);
        return repository.openBlob(blob, options);
      },
      hasManifest: () => Promise.resolve(false),
      pushBlob: ({ digest }) => {
        this.pushed.push(digest);
        return Promise.resolve({ how: "uploaded" });
      },
      putManifest: () => Promise.resolve(),
    };
  }
}

test("a layer with urls is asked for there, run like any other, and left out of what is passed on", async () => {
  const registry = new Watched();
  const [own, foreign] = [tarOf({ name: "own", data: "o" }), tarOf({ name: "foreign", data: "f" })];
  const config = registry.addBlob(mediaTypes.dockerConfig, Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(foreign), digestOf(own)] } })));
  const layers = [
    { ...registry.addBlob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", gzipSync(foreign)), urls: [elsewhere] },
    registry.addBlob(`${mediaTypes.dockerLayer}.gzip`, gzipSync(own)),
  ];
  registry.tag("1", registry.addManifest(mediaTypes.dockerManifest, { schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config, layers }));
  await using bench = openBench({ registries: registry });
  const request = { reference: parseReference("r.test/x:1"), platform: undefined, access: {}, signal: new AbortController().signal, report: () => undefined };
  await bench.images.pull(request);
  assert.deepEqual(registry.urls.filter((urls) => urls !== undefined), [[elsewhere]]);
  await bench.images.layers.create("container", bench.images.resolve("r.test/x:1"));
  await bench.images.layers.remove("container");
  await bench.images.push(request);
  assert.deepEqual(registry.pushed.sort(), [config.digest, layers[1]!.digest].sort());
  const parts: Uint8Array[] = [];
  for await (const part of bench.images.save(["r.test/x:1"], [])) parts.push(Buffer.from(part));
  const saved = Buffer.concat(parts);
  assert.deepEqual(layers.map(({ digest }) => saved.includes(`blobs/sha256/${hexOf(digest)}\0`)), [false, true]);
  await using other = openBench();
  assert.match(await load(other, saved), /^Loaded image: r\.test\/x:1\nError unpacking image r\.test\/x:1: content sha256:[0-9a-f]{64} is missing\n$/);
});
