/** Row 22: the name server: local names at 5,000 questions a second, from a container's namespace, and while gantryd is killed and started. */
import { readFileSync } from "node:fs";
import type { Engine } from "../../test/harness/engine.ts";
import type { Engines } from "../engines.ts";
import { type Line, rest, stat } from "../measure.ts";
import { buildTraffic, netnsOf, trafficServer } from "../traffic.ts";

const rate = 5000;
const seconds = 5;
const rounds = 5;
/** Of the kernel's clock in /proc/PID/stat. */
const TICK_MS = 10;

export async function run(engines: Engines): Promise<Line[]> {
  const engine = await engines.ours();
  const program = buildTraffic(engine.machine);
  await engine.api.json("POST", "/networks/create", { json: { Name: "names" } });
  await trafficServer(engine, program, { port: 7000, network: "names", name: "target" });
  const from = await netnsOf(engine, await trafficServer(engine, program, { port: 7000, network: "names", name: "asker" }));
  const ask = (length: number): string[] => ["nsenter", `--net=${from}`, program, "dns", "127.0.0.11", "target", String(rate), String(length)];
  const [slowest, busy]: [number[], number[]] = [[], []];
  let unanswered = 0;
  engine.machine.run(...ask(1));
  for (let round = 0; round < rounds; round++) {
    const before = processorMs(engine);
    const { asked, answered, p99 } = read(engine.machine.run(...ask(seconds)));
    unanswered += asked - answered;
    slowest.push(p99 / 1000);
    busy.push((processorMs(engine) - before) / seconds);
  }
  const lost = await whileRestarting(engine, ask(4));
  return [
    { id: "22a", what: `a local name at ${rate} questions a second (99th percentile)`, unit: "ms", ours: stat(slowest), peer: "limit 1 ms", ratio: stat(slowest).median, target: { most: 1 }, note: `${unanswered} of ${rate * seconds * rounds} questions were lost, and ${lost} of ${rate * 4} while gantryd was killed and started again` },
    { id: "22b", what: "processor time of the name server for a second of them", unit: "ms", ours: stat(busy), peer: "limit: one processor", ratio: stat(busy).median / 1000, target: { most: 1 } },
  ];
}

async function whileRestarting(engine: Engine, command: string[]): Promise<number> {
  const asking = engine.machine.spawn(command, { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  asking.stdout?.on("data", (data: Buffer) => (printed += data.toString()));
  const ended = new Promise((resolve) => asking.once("exit", resolve));
  await rest(500);
  await engine.kill();
  await engine.start();
  await ended;
  const { asked, answered } = read(printed);
  return asked - answered;
}

function read(text: string): { asked: number; answered: number; p99: number } {
  const [asked = 0, answered = 0, , p99 = NaN] = text.trim().split(" ").map(Number);
  return { asked, answered, p99 };
}

/** Of the machine's name server. */
function processorMs(engine: Engine): number {
  const pid = engine.machine.run("pgrep", "-o", "-f", "^gantry-dns ").trim();
  const fields = readFileSync(`/proc/${engine.machine.pid}/root/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
