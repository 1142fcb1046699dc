/** Row 12: listing many containers with 8 clients at once, and one event to 20 listeners. */
import type { IncomingMessage } from "node:http";
import type { Engine } from "../../test/harness/engine.ts";
import { create, type Engines } from "../engines.ts";
import { compare, type Line, milliseconds, percentile, stat, together } from "../measure.ts";

const clients = 8;
const listeners = 20;

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const lines: Line[] = [];
  let made = 0;
  for (const [letter, count] of [["a", 200], ["b", 1000]] as const) {
    for (const engine of both) await together(Array.from({ length: count - made }), 8, () => create(engine, ["true"]));
    made = count;
    const samples: number[][] = both.map(() => []);
    for (let round = 0; round < 5; round++) for (const [index, engine] of both.entries()) samples[index]?.push(...(await listAtOnce(engine, count)));
    const [ours, theirs] = samples.map(stat);
    lines.push(compare({ id: `12${letter}`, what: `list of ${count} containers, ${clients} clients at once`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.03 } }));
  }
  const fanOuts: number[][] = [];
  for (const engine of both) fanOuts.push(await fanOut(engine));
  const [ours, theirs] = fanOuts.map((samples) => ({ ...stat(samples), median: percentile(samples, 0.99) }));
  lines.push(compare({ id: "12c", what: `an event at all of ${listeners} listeners, from the request that causes it (99th percentile)`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.1 } }));
  return lines;
}

/** Each client asks four times; the milliseconds of each answer, read to its end. */
async function listAtOnce(engine: Engine, expected: number): Promise<number[]> {
  const samples: number[] = [];
  await together(Array.from({ length: clients * 4 }), clients, async () => {
    let length = 0;
    samples.push(await milliseconds(async () => (length = await engine.api.countBytes("/containers/json?all=1"))));
    if (length < expected * 100) throw new Error("the list is too short");
  });
  return samples;
}

/** A rename is the cheapest cause of an event. */
async function fanOut(engine: Engine): Promise<number[]> {
  const id = await create(engine, ["true"]);
  const streams: IncomingMessage[] = [];
  let seen = 0;
  let resolve = (): void => {};
  for (let index = 0; index < listeners; index++) {
    const stream = await engine.api.open("GET", "/events", { timeoutMs: 600_000 });
    stream.on("data", (data: Buffer) => {
      seen += data.toString().split("\n").length - 1;
      if (seen >= listeners) resolve();
    });
    stream.on("error", () => {});
    streams.push(stream);
  }
  const samples: number[] = [];
  for (let round = 0; round < 200; round++) {
    const all = new Promise<void>((done) => (resolve = done));
    seen = 0;
    samples.push(await milliseconds(() => Promise.all([all, engine.api.json("POST", `/containers/${id}/rename?name=renamed-${round}`)])));
  }
  for (const stream of streams) stream.destroy();
  return samples;
}
