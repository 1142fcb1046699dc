/** Rows 4, 6 and 17: 200 idle containers: how fast they start 16 at a time, what they weigh, how fast they go 8 at a time. */
import { readdirSync, readFileSync } from "node:fs";
import type { Engine } from "../../test/harness/engine.ts";
import { type Engines, remove, startIdle } from "../engines.ts";
import { compare, type Line, rest, stat, together } from "../measure.ts";

const size = 200;
const rounds = 3;

interface Fleet {
  starts: number[];
  memory: number[];
  removals: number[];
}

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const fleets: Fleet[] = both.map(() => ({ starts: [], memory: [], removals: [] }));
  for (let round = 0; round < rounds; round++) for (const [index, engine] of both.entries()) await measure(engine, fleets[index]!);
  const [ours, theirs] = fleets;
  const line = (id: string, what: string, unit: Line["unit"], key: keyof Fleet, target: Line["target"]): Line =>
    compare({ id, what, unit, ours: stat(ours![key]), peer: engines.peerName, ...(theirs && { theirs: stat(theirs[key]) }), ...(target && { target }) });
  return [
    line("4", `${size} starts, 16 at a time, bridge`, "/s", "starts", { least: 15 }),
    line("6", `memory (PSS) added by ${size} idle containers, their own programs not counted`, "MB", "memory", { most: 0.03 }),
    line("17", `${size} forced removals, 8 at a time`, "/s", "removals", { least: 20 }),
  ];
}

async function measure(engine: Engine, fleet: Fleet): Promise<void> {
  await rest(2000);
  const before = memoryMB(engine);
  const ids: string[] = [];
  const started = await together(Array.from({ length: size }), 16, async () => ids.push(await startIdle(engine)));
  fleet.starts.push(size / (started / 1000));
  await rest(2000);
  fleet.memory.push(memoryMB(engine) - before);
  const removed = await together(ids, 8, (id) => remove(engine, id));
  fleet.removals.push(size / (removed / 1000));
  await rest(1000);
}

/** PSS of the engine's own processes. */
export function memoryMB(engine: Engine): number {
  return sum(engine, (pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0)) / 1024;
}

/** Processor time that the engine's own processes have had so far, in ms. */
export function processorMs(engine: Engine): number {
  const hertz = 100;
  return (sum(engine, (pid) => readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ").slice(11, 13).reduce((ticks, text) => ticks + Number(text), 0)) * 1000) / hertz;
}

/** Over the machine's processes that are not in a container: daemon, launcher, shims, containerd. */
function sum(engine: Engine, figure: (pid: string) => number): number {
  let all = 0;
  const inside = namespaceDepth(engine.machine.pid);
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (Number(pid) === engine.machine.pid || !inMachine(pid, engine.machine.pid) || namespaceDepth(pid) !== inside) continue;
      all += figure(pid);
    } catch (thrown) {
      if (!["ENOENT", "ESRCH"].includes((thrown as NodeJS.ErrnoException).code ?? "")) throw thrown;
    }
  }
  return all;
}

function namespaceDepth(pid: number | string): number {
  return /^NSpid:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]?.trim().split(/\s+/).length ?? 0;
}

/** The machine's processes are in control groups of its name. */
function inMachine(pid: string, holder: number): boolean {
  const group = /:pids:\/([^/\n]+)/.exec(readFileSync(`/proc/${holder}/cgroup`, "utf8"))?.[1];
  return group !== undefined && new RegExp(`:pids:/${group}(/|$)`, "m").test(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
}
