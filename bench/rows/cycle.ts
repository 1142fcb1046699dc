/** Row 1: create, start, wait and remove of `true`, by the API, on three networks. */
import { cycle, type Engines } from "../engines.ts";
import { compare, inTurn, type Line } from "../measure.ts";

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const lines: Line[] = [];
  for (const [letter, network] of [["a", "bridge"], ["b", "none"], ["c", "host"]] as const) {
    const [ours, theirs] = await inTurn(30, both.map((engine) => () => cycle(engine, network)));
    lines.push(compare({ id: `1${letter}`, what: `create + start + wait + remove, network ${network}`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.05 } }));
  }
  return lines;
}
