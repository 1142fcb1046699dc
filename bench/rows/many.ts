/** Row 5: what a start costs when 1,000 containers run, against the same with 10. */
import { cycle, type Engines, startIdle } from "../engines.ts";
import { type Line, milliseconds, rest, stat, together } from "../measure.ts";

export async function run(engines: Engines): Promise<Line[]> {
  const engine = await engines.ours();
  const start = async (count: number): Promise<void> => {
    await together(Array.from({ length: count }), 8, () => startIdle(engine));
    await rest(3000);
  };
  const sample = async (): Promise<number[]> => {
    const samples: number[] = [];
    for (let round = 0; round < 30; round++) samples.push(await milliseconds(() => cycle(engine, "bridge")));
    return samples;
  };
  await start(10);
  await sample();
  const few = stat(await sample());
  await start(990);
  const many = stat(await sample());
  return [{ id: "5", what: "create + start + wait + remove at 1,000 running", unit: "ms", ours: many, peer: "itself at 10 running", theirs: few, ratio: many.median / few.median, target: { most: 1.2 } }];
}
