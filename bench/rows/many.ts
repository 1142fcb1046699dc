/** Rows 5 and 25: with 1,000 containers running, what a start costs against the same with 10, what they weigh, what asking of them all costs, and a new daemon. */
import { cycle, type Engines, startIdle } from "../engines.ts";
import type { Engine } from "../../test/harness/engine.ts";
import { type Line, milliseconds, rest, stat, together } from "../measure.ts";
import { memoryMB } from "./fleet.ts";

const most = 1000;

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
  const empty = memoryMB(engine);
  await start(10);
  await sample();
  const few = stat(await sample());
  await start(most - 10);
  const many = stat(await sample());
  return [
    { id: "5", what: "create + start + wait + remove at 1,000 running", unit: "ms", ours: many, peer: "itself at 10 running", theirs: few, ratio: many.median / few.median, target: { most: 1.2 } },
    { id: "25a", what: "memory (PSS) added by 1,000 idle containers, their own programs not counted", unit: "MB", ours: stat([memoryMB(engine) - empty]), peer: "" },
    { id: "25b", what: "stats of each of them, once, 16 at a time", unit: "ms", ours: stat([await statistics(engine)]), peer: "" },
    ...(await restarts(engine)),
  ];
}

async function statistics(engine: Engine): Promise<number> {
  const all = await engine.api.json("GET", "/containers/json");
  return together(all, 16, (container) => engine.api.json("GET", `/containers/${(container as { Id: string }).Id}/stats`, { query: { stream: "false", "one-shot": "true" } }));
}

/** kill -9, and the next: to its first answer, and to the list of all of them, which waits until each is found again. */
async function restarts(engine: Engine): Promise<Line[]> {
  const firsts: number[] = [];
  const wholes: number[] = [];
  for (let round = 0; round < 5; round++) {
    await engine.kill();
    const first = await engine.start({ first: "/_ping" });
    let running = 0;
    const whole = await milliseconds(async () => (running = (await engine.api.json("GET", "/containers/json")).length));
    if (running !== most) throw new Error(`${running} of ${most} run after a restart`);
    firsts.push(first);
    wholes.push(first + whole);
    await rest(2000);
  }
  const line = (id: string, what: string, samples: number[], limit: number): Line => ({ id, what, unit: "ms", ours: stat(samples), peer: `limit ${limit} ms`, ratio: stat(samples).median / limit, target: { most: 1 } });
  return [line("25c", "a new daemon after kill -9 with 1,000 running, to its first answer (GET /_ping)", firsts, 1000), line("25d", "the same to the list of all of them, running", wholes, 3000)];
}
