/** Rows 41 to 43: cold pulls of other shapes: many layers of small files, one large layer, many images at once. */
import { mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { which } from "../../test/harness/cli.ts";
import type { Engine } from "../../test/harness/engine.ts";
import { layerOf, packed, type PackedLayer, registryName, RegistryStore } from "../../test/harness/registry.ts";
import { tarEnd, tarHeader } from "../../src/lib/tar-header.ts";
import type { Engines } from "../engines.ts";
import { compare, type Line, milliseconds, percentile, rest, stat } from "../measure.ts";
import { pull, type Sample } from "./pull.ts";

const rounds = 2;
/** It takes as long as the two others together. */
const roundsOfLarge = 1;
/** GANTRY_BENCH_SMALL: only whether the rows run. */
const isSmall = process.env["GANTRY_BENCH_SMALL"] !== undefined;
const counts = isSmall ? { layers: 3, files: 20, megabytes: 64, images: 5 } : { layers: 100, files: 1000, megabytes: 2048, images: 50 };
const freeBytes = isSmall ? 1e9 : 16e9;
const target = { most: 0.5 };

export async function run(engines: Engines): Promise<Line[]> {
  if (which("docker-registry") === undefined) throw new Error("docker-registry is missing (Debian: apt-get install docker-registry)");
  const { bavail, bsize } = statfsSync(tmpdir());
  if (bavail * bsize < freeBytes) throw new Error(`${freeBytes / 1e9} GB must be free in ${tmpdir()}`);
  const store = new RegistryStore(mkdtempSync(join(tmpdir(), "gty-registry-")));
  try {
    return await measure(engines, store);
  } finally {
    store.remove();
  }
}

async function measure(engines: Engines, store: RegistryStore): Promise<Line[]> {
  store.add("small-files", Array.from({ length: counts.layers }, (_, at) => layerOf(`layer-${at}`, { files: counts.files, mean: 300 })));
  store.add("large", [largeLayer(counts.megabytes)]);
  const shared = Array.from({ length: 4 }, (_, at) => packed([layerOf(`shared-${at}`, { files: 100, mean: isSmall ? 1000 : 100_000 })]));
  const names = Array.from({ length: counts.images }, (_, at) => `image-${at}`);
  for (const name of names) store.add(name, [...shared, layerOf(name, { files: 20, mean: isSmall ? 1000 : 20_000 })]);
  const both = await engines.both();
  for (const { machine } of both) await store.serve(machine);
  const peer = engines.peerName;
  const times = (samples: readonly Sample[] | undefined): number[] => (samples ?? []).map(({ milliseconds: took }) => took);
  const line = (id: string, what: string, [own, other]: Sample[][]): Line => compare({ id, what, unit: "ms", ours: stat(times(own)), peer, ...(other && { theirs: stat(times(other)) }), target });
  const small = await inTurn(both, ["small-files"], rounds, (engine) => pull(engine, "small-files"));
  const large = await inTurn(both, ["large"], roundsOfLarge, (engine) => pull(engine, "large"));
  const many = await inTurn(both, names, rounds, (engine) => pullAll(engine, names));
  return [
    line("41", `cold pull of ${counts.layers} layers of ${counts.files} small files each`, small),
    line("42a", `cold pull of one layer of ${counts.megabytes} MB`, large),
    { id: "42b", what: "resident memory that the daemon gains meanwhile", unit: "MB", ours: stat((large[0] ?? []).map(({ grown }) => grown)), peer: "60 MB at most" },
    { id: "42c", what: "/_ping meanwhile, 99th percentile", unit: "ms", ours: stat([percentile((large[0] ?? []).flatMap(({ pings }) => pings), 0.99)]), peer: "5 ms at most" },
    line("43", `${counts.images} cold pulls at once of images that share 4 of their 5 layers`, many),
  ];
}

async function inTurn(engines: readonly Engine[], names: readonly string[], times: number, sample: (engine: Engine) => Promise<Sample>): Promise<Sample[][]> {
  const samples: Sample[][] = engines.map(() => []);
  for (let round = 0; round < times; round++) {
    for (const [at, engine] of engines.entries()) {
      samples[at]?.push(await sample(engine));
      for (const name of names) await engine.api.json("DELETE", `/images/${registryName}/${name}:1`, { query: { force: true }, timeoutMs: 600_000 });
      await rest(2000);
    }
  }
  return samples;
}

async function pullAll(engine: Engine, names: readonly string[]): Promise<Sample> {
  const one = async (name: string): Promise<void> => {
    const { status, body } = await engine.api.send("POST", "/images/create", { query: { fromImage: `${registryName}/${name}`, tag: "1" }, timeoutMs: 600_000 });
    if (status !== 200 || body.includes('"errorDetail"')) throw new Error(`pull: ${status} ${body.toString().slice(-500)}`);
  };
  return { milliseconds: await milliseconds(() => Promise.all(names.map(one))), grown: 0, pings: [] };
}

/** Files of 64 MB, all of the same bytes, which are made and compressed once. */
function largeLayer(megabytes: number): PackedLayer {
  const size = 64 << 20;
  const bytes = Buffer.alloc(size, "configuration of a program and its documentation, line by line\n");
  const { randomFillSync } = process.getBuiltinModule("node:crypto");
  for (let from = 0; from < size; from += 300) randomFillSync(bytes, from, Math.min(190, size - from));
  const files = Math.max(1, megabytes >> 6);
  const entries = Array.from({ length: files }, (_, at) => [Buffer.from(tarHeader({ name: `file-${at}`, size, mode: 0o644, mtime: 0 })), bytes]);
  return packed([...entries.flat(), Buffer.from(tarEnd())]);
}
