/** Row 12: listing many containers with 8 clients at once, and one event to 20 listeners. */
import { LeanClient } from "../client.ts";
import { create, type Engines } from "../engines.ts";
import { compare, type Line, percentile, stat, together } from "../measure.ts";

const clients = 8;
const listeners = 20;

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const lean = both.map((engine) => new LeanClient(engine));
  const lines: Line[] = [];
  let made = 0;
  for (const [letter, count] of [["a", 200], ["b", 1000]] as const) {
    for (const engine of both) await together(Array.from({ length: count - made }), 8, () => create(engine, ["true"]));
    made = count;
    const samples: number[][] = both.map(() => []);
    for (let round = 0; round < 5; round++) for (const [index, client] of lean.entries()) samples[index]?.push(...(await client.requests("/containers/json?all=1", { clients, count: clients * 4 })));
    const [ours, theirs] = samples.map(stat);
    lines.push(compare({ id: `12${letter}`, what: `list of ${count} containers, ${clients} clients at once`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.03 } }));
  }
  // A rename is the cheapest cause of an event. The first round makes both programs warm.
  const ids = await Promise.all(both.map((engine) => create(engine, ["true"])));
  const fanOuts: number[][] = both.map(() => []);
  for (let round = 0; round < 6; round++) {
    for (const [index, client] of lean.entries()) {
      const samples = await client.events(ids[index]!, { listeners, count: 200 });
      if (round > 0) fanOuts[index]?.push(...samples);
    }
  }
  const [ours, theirs] = fanOuts.map((samples) => ({ ...stat(samples), median: percentile(samples, 0.99) }));
  lines.push(compare({ id: "12c", what: `an event at all of ${listeners} listeners, from the request that causes it (99th percentile)`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.1 } }));
  return lines;
}
