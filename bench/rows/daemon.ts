/** Rows 15 and 18: the daemon's cold start, its idle memory, its answers while it works, and its cheapest answers. */
import { Engine, type EngineOptions } from "../../test/harness/engine.ts";
import { busyboxImage } from "../../test/harness/images.ts";
import { Machine } from "../../test/harness/machine.ts";
import { LeanClient } from "../client.ts";
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
  const [times, lists] = await eachAlone([{}, ...(withPeer ? [peer] : [])], 8, async (engine) => {
    const startMs = await engine.start({ first: "/_ping" });
    return [startMs, startMs + (await milliseconds(() => engine.api.json("GET", "/containers/json")))];
  });
  const [memory] = await eachAlone([ours, ...(withPeer ? [peer] : [])], 3, async (engine) => {
    await engine.start();
    await rest(1500);
    return [memoryMB(engine)];
  });
  const against = ([mine, theirs]: Stat[]): Pick<Line, "ours" | "theirs" | "peer"> => ({ ours: mine!, peer: engines.peerName, ...(theirs && { theirs }) });
  return [
    compare({ id: "15a", what: "daemon: cold start to the first answer (GET /_ping), empty root", unit: "ms", ...against(times!), target: { most: 0.25 } }),
    compare({ id: "15b", what: "daemon: idle memory (PSS, all its processes)", unit: "MB", ...against(memory!), target: { most: 0.5 }, note: "with a copy of the Node program that nobody shares; its file pages are most of it" }),
    compare({ id: "15d", what: "the same as 15a to the first list of containers", unit: "ms", ...against(lists!) }),
  ];
}

/** Each kind in turn in a machine of its own: for each figure that `measure` takes of one that it starts, the samples of each kind. */
async function eachAlone(kinds: EngineOptions[], rounds: number, measure: (engine: Engine) => Promise<number[]>): Promise<Stat[][]> {
  const samples: number[][][] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [index, kind] of kinds.entries()) {
      await using machine = await Machine.create();
      const engine = new Engine(machine, kind);
      for (const [figure, sample] of (await measure(engine)).entries()) ((samples[figure] ??= kinds.map(() => []))[index] ??= []).push(sample);
      engine.api.close();
      await engine.stop();
    }
  }
  return samples.map((figure) => figure.map(stat));
}

async function busyPings(engine: Engine): Promise<Stat> {
  const image = busyboxImage();
  const samples = await new LeanClient(engine).pings(1, () =>
    Promise.all([
      together(Array.from({ length: 200 }), 8, () => cycle(engine, "bridge")),
      together(Array.from({ length: 20 }, (_, index) => index), 1, (index) => engine.api.send("POST", `/images/create?fromSrc=-&repo=ping&tag=t${index}`, { body: image })),
    ]),
  );
  return { ...stat(samples), median: percentile(samples, 0.99) };
}
