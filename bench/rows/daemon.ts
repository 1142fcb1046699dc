/** Rows 15 and 18: the daemon's cold start, its idle memory, its answers while it works, and its cheapest answers. */
import { Engine, type EngineOptions } from "../../test/harness/engine.ts";
import { busyboxImage } from "../../test/harness/images.ts";
import { Machine } from "../../test/harness/machine.ts";
import { cycle, type Engines, ours, peer } from "../engines.ts";
import { compare, inTurn, type Line, milliseconds, percentile, rest, stat, together } from "../measure.ts";
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
  const kinds: EngineOptions[] = [ours, ...((await engines.peer()) === undefined ? [] : [peer])];
  const times: number[][] = kinds.map(() => []);
  const memory: number[][] = kinds.map(() => []);
  for (let round = 0; round < 8; round++) {
    for (const [index, kind] of kinds.entries()) {
      await using machine = await Machine.create();
      const engine = new Engine(machine, kind);
      const took = await engine.start();
      await rest(1500);
      if (round > 0) times[index]?.push(took);
      memory[index]?.push(memoryMB(engine));
      engine.api.close();
      await engine.stop();
    }
  }
  const [time, theirs] = times.map(stat);
  const [idle, theirsIdle] = memory.map(stat);
  return [
    compare({ id: "15a", what: "daemon: cold start to the first answer, empty root", unit: "ms", ours: time!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.25 } }),
    compare({ id: "15b", what: "daemon: idle memory (PSS, all its processes)", unit: "MB", ours: idle!, peer: engines.peerName, ...(theirsIdle && { theirs: theirsIdle }), target: { most: 0.5 } }),
  ];
}

async function busyPings(engine: Engine) {
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
