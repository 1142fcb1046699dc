/** Rows 15 and 18: the daemon's cold start, its idle memory, its answers while it works, and its cheapest answers. */
import { Engine, type EngineOptions } from "../../test/harness/engine.ts";
import { busyboxImage } from "../../test/harness/images.ts";
import { Machine } from "../../test/harness/machine.ts";
import { cycle, type Engines, ours, peer } from "../engines.ts";
import { compare, inTurn, type Line, milliseconds, percentile, rest, stat, type Stat, together } from "../measure.ts";
import { memoryMB } from "./fleet.ts";

export async function run(engines: Engines): Promise<Line[]> {
  const lines = await coldStarts(engines);
  const both = await engines.both();
  for (const [letter, path, most] of [["a", "/info", 0.3], ["b", "/version", 0.1], ["c", "/_ping", 1.5]] as const) {
    const [stats, theirs] = await inTurn(300, both.map((engine) => () => engine.api.send("GET", path)));
    lines.push(compare({ id: `18${letter}`, what: `GET ${path}`, unit: "ms", ours: stats!, peer: engines.peerName, ...(theirs && { theirs }), target: { most } }));
  }
  const busy = await busyPings(both[0]);
  const limit = 5;
  lines.push({ id: "15c", what: "GET /_ping while images are imported and 8 containers start at a time (99th percentile)", unit: "ms", ours: busy, peer: `limit ${limit} ms`, ratio: busy.median / limit, target: { most: 1 } });
  return lines;
}

async function coldStarts(engines: Engines): Promise<Line[]> {
  const withPeer = (await engines.peer()) !== undefined;
  const times = await eachAlone([{}, ...(withPeer ? [peer] : [])], 8, (_engine, startMs) => startMs);
  const memory = await eachAlone([ours, ...(withPeer ? [peer] : [])], 3, memoryMB);
  return [
    compare({ id: "15a", what: "daemon: cold start to the first answer, empty root", unit: "ms", ours: times[0]!, peer: engines.peerName, ...(times[1] && { theirs: times[1] }), target: { most: 0.25 } }),
    compare({ id: "15b", what: "daemon: idle memory (PSS, all its processes)", unit: "MB", ours: memory[0]!, peer: engines.peerName, ...(memory[1] && { theirs: memory[1] }), target: { most: 0.5 }, note: "with a copy of the Node program that nobody shares; its file pages are most of it" }),
  ];
}

/** Starts each kind in turn in a machine of its own, and measures it a moment later. */
async function eachAlone(kinds: EngineOptions[], rounds: number, measure: (engine: Engine, startMs: number) => number): Promise<Stat[]> {
  const samples: number[][] = kinds.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, kind] of kinds.entries()) {
      await using machine = await Machine.create();
      const engine = new Engine(machine, kind);
      const startMs = await engine.start();
      await rest(1500);
      samples[index]?.push(measure(engine, startMs));
      engine.api.close();
      await engine.stop();
    }
  }
  return samples.map(stat);
}

async function busyPings(engine: Engine): Promise<Stat> {
  const samples: number[] = [];
  let working = true;
  const pinging = (async () => {
    while (working) {
      samples.push(await milliseconds(() => engine.api.send("GET", "/_ping")));
      await rest(1);
    }
  })();
  const image = busyboxImage();
  await Promise.all([
    together(Array.from({ length: 200 }), 8, () => cycle(engine, "bridge")),
    together(Array.from({ length: 20 }, (_, index) => index), 1, (index) => engine.api.send("POST", `/images/create?fromSrc=-&repo=ping&tag=t${index}`, { body: image })),
  ]);
  working = false;
  await pinging;
  return { ...stat(samples), median: percentile(samples, 0.99) };
}
