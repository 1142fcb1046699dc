/**
 * Debian's docker-registry behind a line that delays, cuts, truncates, corrupts and reorders what it carries: pulls and pushes end, with the right image or with a reason,
 * and when the line is good again everything is put right. GANTRY_ROUGH_ROUNDS makes it longer, GANTRY_ROUGH_SEED repeats the choices.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { digestOf } from "../../src/lib/digest.ts";
import { GantryError } from "../../src/lib/errors.ts";
import { Filters } from "../../src/lib/filters.ts";
import { parseReference } from "../../src/lib/reference.ts";
import { openRegistries } from "../../src/registry/testing/open.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { Random } from "../faults/soak/random.ts";
import { which } from "../harness/cli.ts";
import { layoutOf, load, openBench } from "../images/bench.ts";
import { fastFolder } from "../images/escapes.ts";

const rounds = Number(process.env["GANTRY_ROUGH_ROUNDS"] ?? 10);
const seed = Number(process.env["GANTRY_ROUGH_SEED"] ?? 1);

type Carry = (chunk: Buffer, to: Socket) => void;

/** What one direction of a connection does from so many bytes on. */
const faults: Record<string, (random: Random) => Carry> = {
  none: () => (chunk, to) => void to.write(chunk),
  delays: (random) => (chunk, to) => void setTimeout(() => to.write(chunk), random.below(5)),
  cuts: () => (_, to) => void to.destroy(),
  truncates: () => (_, to) => void to.end(),
  corrupts: (random) => (chunk, to) => {
    const wrong = Buffer.from(chunk);
    const at = random.below(wrong.length);
    wrong[at] = (wrong[at] ?? 0) ^ 0x21;
    to.write(wrong);
  },
  reorders: () => (chunk, to) => {
    const half = chunk.length >> 1;
    to.write(Buffer.concat([chunk.subarray(half), chunk.subarray(0, half)]));
  },
};

class RoughLine implements AsyncDisposable {
  readonly #server = createServer((from) => this.#carry(from));
  readonly #sockets = new Set<Socket>();
  readonly #random: Random;
  readonly #port: number;
  #isGood = false;

  constructor(port: number, random: Random) {
    this.#port = port;
    this.#random = random;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #carry(from: Socket): void {
    const to = connect(this.#port, "127.0.0.1");
    for (const [source, target] of [[from, to], [to, from]] as const) {
      this.#sockets.add(source);
      const fault = this.#fault();
      /* One fault a connection and direction; then all goes on. */
      let left = this.#random.below(this.#random.chance(50) ? 1000 : 400_000);
      let isOver = false;
      source.on("data", (chunk: Buffer) => {
        left -= chunk.length;
        if (target.destroyed) return;
        if (left > 0 || isOver) return void target.write(chunk);
        isOver = true;
        fault(chunk, target);
      });
      source.on("error", () => target.destroy());
      source.on("close", () => {
        this.#sockets.delete(source);
        target.destroy();
      });
    }
  }

  #fault(): Carry {
    const kind = this.#isGood || this.#random.chance(55) ? "none" : this.#random.pick(Object.keys(faults));
    return faults[kind]!(this.#random);
  }

  /** From now on it carries everything, on new connections. */
  heal(): void {
    this.#isGood = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.heal();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function startRegistry(folder: string): Promise<{ port: number } & AsyncDisposable> {
  const config = join(folder, "registry.yml");
  writeFileSync(config, `version: 0.1\nlog: {level: info, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${join(folder, "data")}}}\nhttp: {addr: "127.0.0.1:0"}\n`);
  const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  const lines = createInterface(child.stderr);
  for await (const line of lines) {
    const port = Number(/listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? 0);
    if (port === 0) continue;
    child.stderr.resume();
    return { port, [Symbol.asyncDispose]: end };
  }
  await end();
  throw new Error("docker-registry does not start");
}

test(`${rounds} pulls and pushes over a rough line, seed ${seed}`, { skip: which("docker-registry") === undefined ? "no docker-registry (Debian: docker-registry)" : false, timeout: 60_000 + rounds * 20_000 }, async (context) => {
  const folder = mkdtempSync(join(fastFolder(), "gantry-rough-"));
  try {
    await using registry = await startRegistry(folder);
    const random = new Random(seed);
    await using line = new RoughLine(registry.port, random);
    const rough = await line.listen();
    const good = `127.0.0.1:${registry.port}`;
    using hasty = openRegistries({ limits: { stallMilliseconds: 1000, answerMilliseconds: 3000 } });
    using patient = openRegistries();
    const registries = { ...patient };
    const noise = (at: number): Buffer => {
      const bytes = Buffer.alloc(1_500_000);
      const own = new Random(at);
      for (let index = 0; index < bytes.length; index += 4) bytes.writeUInt32LE(own.below(2 ** 32), index);
      return bytes;
    };
    const layers = [0, 1, 2].map((at) => tarOf({ name: `file-${at}`, data: noise(at) }));
    await using source = openBench({ dir: join(folder, "source"), registries });
    await load(source, layoutOf(`${good}/x:1`, layers.map((bytes, at) => (at === 0 ? { bytes } : { bytes: gzipSync(bytes, { level: 1 }), diffId: digestOf(bytes), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" }))));
    const request = (name: string) => ({ reference: parseReference(name), platform: undefined, access: {}, signal: new AbortController().signal, report: () => undefined });
    await source.images.push(request(`${good}/x:1`));
    const id = source.images.idOf(`${good}/x:1`);
    registries.repository = hasty.repository;
    const counts = { done: 0, refused: 0 };
    const attempt = async (work: Promise<void>): Promise<boolean> => {
      const error: unknown = await work.then(() => undefined, (thrown: unknown) => thrown);
      if (error !== undefined) assert.ok(error instanceof GantryError && error.message !== "", String((error as Error).stack));
      counts[error === undefined ? "done" : "refused"]++;
      return error === undefined;
    };
    await using bench = openBench({ dir: join(folder, "target"), registries });
    const { images } = bench;
    const isWhole = async (): Promise<void> => {
      assert.equal(images.idOf(`${rough}/x:1`), id);
      assert.deepEqual((await images.audit({ containers: () => new Set(), patienceMilliseconds: 1 })).findings, []);
      await images.layers.create("trial", images.resolve(`${rough}/x:1`));
      await images.layers.remove("trial");
    };
    for (let round = 0; round < rounds; round++) {
      if (await attempt(images.pull(request(`${rough}/x:1`)))) {
        await isWhole();
        await images.remove(`${rough}/x:1`, {});
        await images.prune({ filters: new Filters(new Map()) });
      } else assert.equal(images.count(), 0);
      source.images.tag(`${good}/x:1`, parseReference(`${rough}/pushed-${round}:1`));
      await attempt(source.images.push(request(`${rough}/pushed-${round}:1`)));
    }
    line.heal();
    registries.repository = patient.repository;
    await images.pull(request(`${rough}/x:1`));
    await isWhole();
    for (let round = 0; round < rounds; round++) {
      await source.images.push(request(`${rough}/pushed-${round}:1`));
      await images.pull(request(`${good}/pushed-${round}:1`));
      assert.equal(images.idOf(`${good}/pushed-${round}:1`), id);
    }
    context.diagnostic(`over the rough line done ${counts.done}, refused ${counts.refused}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
