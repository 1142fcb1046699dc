/**
 * Documents of images, spoiled by rule: each as a whole (cut off, too deep, a key twice, another document ...), and each value in them replaced by each other kind of value.
 * All else is right: digests and sizes are those of the spoiled bytes. By a load in both formats, and by a pull.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Digest, digestOf, hexOf } from "../../src/lib/digest.ts";
import { GantryError } from "../../src/lib/errors.ts";
import { Filters } from "../../src/lib/filters.ts";
import { type Descriptor, mediaTypes } from "../../src/lib/oci-image.ts";
import { type RawEntry, tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, load, openBench } from "./bench.ts";
import { ground } from "./escapes.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { pullTag } from "./pull.fixture.ts";

const layer = tarOf({ name: "f", data: "x" });
const digestOfAll = `sha256:${"0".repeat(64)}`;

type Spoil = (text: string) => string | Buffer;

/** Never a document, whatever it is of. */
const whole: Record<string, Spoil> = {
  "cut off": (text) => text.slice(0, -1),
  empty: () => "",
  "with something behind it": (text) => `${text}{}`,
  "twice": (text) => text + text,
  "a list": (text) => `[[${text}]]`,
  "a number": () => "1",
  "a text": (text) => JSON.stringify(text),
  nothing: () => "null",
  "not UTF-8": (text) => Buffer.from(text.replace(/"/, '"\xff'), "latin1"),
  "with a NUL": (text) => text.replace("{", "{\0"),
  "with a key twice": (text) => text.replace("{", '{"zz":1,"zz":1,'),
  "with a key twice, once escaped": (text) => text.replace("{", '{"zz":1,"\\u007az":1,'),
  "too deep in lists": (text) => text.replace("{", `{"zz":${"[".repeat(100_000)}${"]".repeat(100_000)},`),
  "too deep in objects": (text) => text.replace("{", `{"zz":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)},`),
  "too large": (text) => text.replace("{", `{"zz":"${"x".repeat(9 << 20)}",`),
};

/** Two kinds at once, or another than what it is called. */
const confused: Record<string, Partial<Record<Role, Spoil>>> = {
  "with manifests": { manifest: (text) => text.replace("{", '{"manifests":[],'), config: (text) => text.replace("{", '{"manifests":[],') },
  "with layers": { index: (text) => text.replace("{", '{"layers":[],'), "index.json": (text) => text.replace("{", '{"layers":[],'), config: (text) => text.replace("{", '{"layers":[],') },
  "with a configuration": { index: (text) => text.replace("{", '{"config":{},'), "index.json": (text) => text.replace("{", '{"config":{},') },
  "of schema 1": { manifest: (text) => text.replace(/"schemaVersion":2/, '"schemaVersion":1'), index: (text) => text.replace("{", '{"fsLayers":[],') },
  "by another's name": { manifest: (text) => text.replace("{", `{"mediaType":"${mediaTypes.ociIndex}",`), index: (text) => text.replace("{", `{"mediaType":"${mediaTypes.dockerManifest}",`) },
};

const strangers: Record<string, unknown> = { null: null, zero: 0, "a negative number": -1, "a fraction": 1.5, "a huge number": 2 ** 53, true: true, "an empty text": "", "a path": "../../../../etc/passwd", "a digest": digestOfAll, "a wrong digest": "sha256:../../../x", "a list": [], "a list of lists": [[[]]], "an object": {}, __proto__: JSON.parse('{"__proto__":{"size":1}}') as unknown };

/** The document with each of its values replaced by each stranger, and left out. */
function* replaced(json: unknown): Generator<[what: string, text: string]> {
  const all = JSON.stringify(json);
  for (const path of pathsOf(json)) {
    for (const [what, stranger] of [...Object.entries(strangers), ["left out", undefined] as const]) {
      const copy = JSON.parse(all) as Record<string, unknown>;
      let holder = copy;
      for (const key of path.slice(0, -1)) holder = holder[key] as Record<string, unknown>;
      holder[path.at(-1) ?? ""] = stranger;
      const text = JSON.stringify(copy);
      if (text !== all) yield [`${path.join(".")}: ${what}`, text];
    }
  }
}

function pathsOf(json: unknown): string[][] {
  if (typeof json !== "object" || json === null) return [];
  return Object.entries(json).flatMap(([key, value]) => [[key], ...pathsOf(value).map((path) => [key, ...path])]);
}

type Role = "config" | "manifest" | "index" | "index.json" | "manifest.json";

interface Made {
  blobs: Map<Digest, Buffer>;
  texts: Record<Role, string>;
  index: Descriptor;
  top: Buffer;
  dockerTop: Buffer;
}

/** An image, one document of it spoiled. */
function imageWith(role?: Role, spoil: Spoil = (text) => text): Made {
  const blobs = new Map<Digest, Buffer>();
  const texts = {} as Record<Role, string>;
  const bytesOf = (of: Role, json: unknown): Buffer => {
    texts[of] = JSON.stringify(json);
    return Buffer.from((of === role ? spoil(texts[of]) : texts[of]) as string);
  };
  const add = (mediaType: string, bytes: Buffer): Descriptor => {
    blobs.set(digestOf(bytes), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const settings = { User: "u", Env: ["A=b"], Cmd: ["x"], ExposedPorts: { "80/tcp": {} }, Volumes: { "/v": {} }, Labels: { a: "b" }, Healthcheck: { Test: ["NONE"], Retries: 1 } };
  const config = add(mediaTypes.ociConfig, bytesOf("config", { os: "linux", architecture: "amd64", created: "2026-01-02T03:04:05Z", config: settings, rootfs: { type: "layers", diff_ids: [digestOf(layer)] }, history: [{ created_by: "x", empty_layer: false }] }));
  const manifest = add(mediaTypes.ociManifest, bytesOf("manifest", { schemaVersion: 2, config, layers: [add(mediaTypes.ociLayer, layer)], annotations: { a: "b" } }));
  const index = add(mediaTypes.ociIndex, bytesOf("index", { schemaVersion: 2, manifests: [{ ...manifest, platform: { os: "linux", architecture: "amd64", variant: "v1" } }] }));
  const top = bytesOf("index.json", { schemaVersion: 2, manifests: [{ ...index, annotations: { "io.containerd.image.name": "docker.io/library/evil:1" } }] });
  const dockerTop = bytesOf("manifest.json", [{ Config: "config", RepoTags: ["evil:1"], Layers: ["layer"] }]);
  return { blobs, texts, index, top, dockerTop };
}

const configOf = ({ blobs }: Made): Buffer => [...blobs.values()][0] ?? Buffer.alloc(0);

const layoutOf = ({ blobs, top }: Made): Buffer =>
  tarOf({ name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' }, { name: "index.json", data: top }, ...[...blobs].map(([digest, data]): RawEntry => ({ name: `blobs/sha256/${hexOf(digest)}`, data })));
const dockerArchiveOf = (made: Made): Buffer => tarOf({ name: "config", data: configOf(made) }, { name: "layer", data: layer }, { name: "manifest.json", data: made.dockerTop });

function pulled(bench: ImageBench, registry: FakeRegistry, { blobs, index }: Made): Promise<void> {
  registry.blobs.clear();
  registry.manifests.clear();
  for (const [digest, bytes] of blobs) {
    registry.blobs.set(digest, bytes);
    registry.manifests.set(digest, { mediaType: digest === index.digest ? mediaTypes.ociIndex : mediaTypes.ociManifest, bytes });
  }
  registry.tag("1", index);
  return pullTag(bench, "1");
}

const entrances: Record<string, { roles: Role[]; enter: (bench: ImageBench, registry: FakeRegistry, made: Made) => Promise<unknown> }> = {
  "a load of an OCI layout": { roles: ["index.json", "index", "manifest", "config"], enter: (bench, _, made) => load(bench, layoutOf(made)) },
  "a load of Docker's older archive": { roles: ["manifest.json", "config"], enter: (bench, _, made) => load(bench, dockerArchiveOf(made)) },
  "a pull": { roles: ["index", "manifest", "config"], enter: pulled },
};

const passing = new Set(["unavailable", "cancelled", "deadline"]);

/** What was taken can be listed, and looked at or refused. */
async function looksAround({ images }: ImageBench): Promise<void> {
  await images.usage();
  await images.list({ filters: new Filters(new Map([["label", new Set(["a=b"])]])), sharedSize: false, manifests: false });
  for (const { Id } of await images.list({ filters: new Filters(new Map()), sharedSize: true, manifests: true })) {
    for (const look of [images.inspect(Id, { manifests: true, platform: undefined }), images.history(Id, undefined)]) await look.catch((error: unknown) => assert.ok(error instanceof GantryError, String((error as Error).stack)));
  }
}

/** All that was taken can be removed. */
async function clear(bench: ImageBench): Promise<void> {
  await looksAround(bench);
  await bench.images.prune({ filters: new Filters(new Map([["dangling", new Set(["false"])]])) });
  assert.deepEqual([bench.images.count(), bench.content.list(), bench.content.ingests(), bench.snapshotter.list()], [0, [], [], []]);
}

for (const [entrance, { roles, enter }] of Object.entries(entrances)) {
  test(`documents that are spoiled, by ${entrance}: refused clearly or taken whole, and nothing stays`, { timeout: 300_000 }, async (context) => {
    const registry = new FakeRegistry();
    using around = ground();
    await using bench = openBench({ dir: around.root, registries: registry });
    const right = imageWith();
    const memory = process.memoryUsage.rss();
    let [tried, refused] = [0, 0];
    const attempt = async (role: Role, what: string, spoil: Spoil): Promise<boolean> => {
      const answer: unknown = await enter(bench, registry, imageWith(role, spoil)).catch((error: unknown) => error);
      if (answer instanceof Error) assert.ok(answer instanceof GantryError && !passing.has(answer.code), `${role} ${what}: ${answer.stack}`);
      /* As Docker does, a load may keep what cannot be unpacked, and say so. */
      const isRefused = answer instanceof Error || /Error unpacking/.test(String(answer));
      tried++;
      if (isRefused) refused++;
      return isRefused;
    };
    for (const role of roles) {
      const whollyWrong = [...Object.entries(whole), ...Object.entries(confused).flatMap(([what, spoils]): [string, Spoil][] => (spoils[role] ? [[what, spoils[role]]] : []))];
      for (const [what, spoil] of whollyWrong) assert.ok(await attempt(role, what, spoil), `${role} ${what} is refused`);
      for (const [what, text] of replaced(JSON.parse(right.texts[role]))) {
        await attempt(role, what, () => text);
        if (tried % 50 === 0) await clear(bench);
      }
      await clear(bench);
    }
    assert.ok(process.memoryUsage.rss() - memory < 300 << 20, `${(process.memoryUsage.rss() - memory) >> 20} MiB more`);
    await enter(bench, registry, right);
    assert.equal(bench.images.count(), 1, "control: the image is taken as it was");
    context.diagnostic(`documents ${tried}, refused ${refused}`);
  });
}
