/**
 * The program that kills.test.ts kills: opens the stores in DIR as a daemon does at its start, says what it finds, and then works on images at random until it is killed.
 * Its lines, each written before the next step: "found JSON" (names and ids), "begin NAME", "end NAME ID" (or "-" for none), "failed TEXT".
 */
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Digest } from "../../src/lib/digest.ts";
import { Filters } from "../../src/lib/filters.ts";
import { readManifest } from "../../src/lib/oci-image.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { Random } from "../faults/soak/random.ts";
import { type ImageBench, layoutOf, load, openBench, pieces } from "./bench.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { pullTag } from "./pull.fixture.ts";

const workers = 3;
const kinds = 5;
const size = 60_000;

const say = (line: string): void => void writeSync(1, `${line}\n`);
/** The same in each process: each file tells its size by its name. */
const layer = (name: string): Buffer => tarOf({ name: `${name}-${size}`, data: Buffer.alloc(size, `${name} `) }, { name: "d/", type: "5" }, { name: `d/${name}-${size}`, data: Buffer.alloc(size, name) });
const layersOf = (kind: number): Buffer[] => [layer("base"), layer(`even${kind % 2}`), layer(`own${kind}`)];
const scratch = { Labels: { scratch: "yes" } };

class Worker {
  readonly #bench: ImageBench;
  readonly #registry: FakeRegistry;
  readonly #random: Random;
  readonly #index: number;
  #containers = 0;

  constructor(bench: ImageBench, registry: FakeRegistry, { random, index }: { random: Random; index: number }) {
    this.#bench = bench;
    this.#registry = registry;
    this.#random = random;
    this.#index = index;
  }

  async work(): Promise<never> {
    const { images } = this.#bench;
    for (;;) {
      const kind = this.#random.below(kinds);
      const name = `docker.io/library/w${this.#index}:${this.#random.below(4)}`;
      const step = this.#random.below(100);
      if (step < 25) await this.#gives(`r.test/x:w${this.#index}-${kind}`, () => this.#pull(kind));
      else if (step < 45) await this.#gives(name, () => load(this.#bench, layoutOf(name, layersOf(kind).map((bytes) => ({ bytes })))));
      else if (step < 55) await this.#gives(name, () => images.import(pieces(gzipSync(layer(`imported-${randomBytes(4).toString("hex")}`))), { reference: parseReference(name), platform: undefined, message: "", changes: [] }));
      else if (step < 65) await this.#commit(name);
      else if (step < 85) await this.#removes(this.#random.chance(50) ? name : `r.test/x:w${this.#index}-${kind}`);
      else if (step < 92 || this.#index > 0) await images.collect();
      /* One at a time, as the daemon has it. */
      else if (step < 97) await this.#pruneScratch();
      else await images.prune({ filters: new Filters(new Map()) });
    }
  }

  async #gives(name: string, work: () => Promise<unknown>): Promise<void> {
    say(`begin ${name}`);
    await work();
    say(`end ${name} ${this.#bench.images.idOf(name) ?? "-"}`);
    this.#mustBeWhole(name);
  }

  /** Nobody else removes it; a collection of another worker must not have taken a part of it. */
  #mustBeWhole(name: string): void {
    const { images, content } = this.#bench;
    const manifest = readManifest(content.read(images.resolve(name).manifest.digest, 1 << 20));
    if (manifest.kind !== "manifest") return;
    for (const { digest } of [manifest.config, ...manifest.layers]) if (!content.has(digest)) say(`failed ${name} has no ${digest}`);
  }

  #pull(kind: number): Promise<void> {
    this.#registry.tag(`w${this.#index}-${kind}`, this.#registry.addImage(layersOf(kind).map((bytes) => ({ bytes }))));
    return pullTag(this.#bench, `w${this.#index}-${kind}`);
  }

  async #removes(name: string): Promise<void> {
    if (this.#bench.images.idOf(name) === undefined) return;
    say(`begin ${name}`);
    await this.#bench.images.remove(name, { force: true });
    say(`end ${name} -`);
  }

  async #commit(name: string): Promise<void> {
    const { images } = this.#bench;
    const id = `c${this.#index}-${this.#containers++}`;
    await this.#gives(name, async () => {
      await load(this.#bench, layoutOf(`docker.io/library/base${this.#index}:1`, [{ bytes: layer("base") }]));
      const image = images.resolve(`base${this.#index}:1`);
      await images.layers.create(id, image);
      const [mount] = images.layers.mounts(id);
      if (mount?.type === "overlay") writeFileSync(join(mount.upper, `change-${size}`), Buffer.alloc(size, id));
      await images.layers.commit({ containerId: id, base: image.manifest, reference: parseReference(name), parent: image.id, settings: image.config, createdBy: "", author: "", comment: "" });
      await images.layers.remove(id);
    });
  }

  /** Its name is nobody else's. */
  async #pruneScratch(): Promise<void> {
    const name = "docker.io/library/scratch:1";
    await this.#gives(name, () => load(this.#bench, layoutOf(name, layersOf(0).map((bytes) => ({ bytes })), scratch)));
    say(`begin ${name}`);
    await this.#bench.images.prune({ filters: new Filters(new Map([["dangling", new Set(["false"])], ["label", new Set(["scratch"])]])) });
    say(`end ${name} -`);
  }
}

/** As at the start of a daemon whose containers are all gone: then nothing may be wrong, missing or left over. */
async function recover(bench: ImageBench): Promise<void> {
  const { images } = bench;
  await images.recover();
  await images.collect({ containers: new Set() });
  await bench.snapshotter.settled();
  const { findings } = await images.audit({ containers: () => new Set(), patienceMilliseconds: 1 });
  for (const { kind, id, problem } of findings) say(`failed ${kind} ${id}: ${problem}`);
  const found: Record<string, string> = {};
  for (const { Id, RepoTags } of await images.list({ filters: new Filters(new Map()), sharedSize: false, manifests: false })) {
    await images.layers.create("trial", images.resolve(Id));
    checkFiles(bench, Id);
    await images.layers.remove("trial");
    for (const tag of RepoTags) found[tag.includes("/") ? tag : `docker.io/library/${tag}`] = Id;
  }
  say(`found ${JSON.stringify(found)}`);
}

function checkFiles({ images }: ImageBench, id: Digest): void {
  const [mount] = images.layers.mounts("trial");
  if (mount?.type !== "overlay") return;
  for (const folder of mount.lower) {
    for (const path of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const expected = Number(/-(\d{5})$/.exec(path)?.[1] ?? Number.NaN);
      if (expected === size && readFileSync(join(folder, path)).length !== size) say(`failed ${id} has a file that is cut off: ${path}`);
    }
  }
}

/* Who is killed leaves nothing for the next one, which would compile everything again. */
flushCompileCache();
const registry = new FakeRegistry();
registry.chunk = 7000;
const bench = openBench({ dir: process.env["DIR"] ?? "", registries: registry });
try {
  await recover(bench);
  const seed = Number(process.env["SEED"]);
  await Promise.all(Array.from({ length: workers }, (_, index) => new Worker(bench, registry, { random: new Random(seed * 10 + index), index }).work()));
} catch (error) {
  say(`failed ${String((error as Error).stack).replaceAll("\n", " ")}`);
}
