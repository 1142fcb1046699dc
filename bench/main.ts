/**
 * Measures Gantry against its peers: npm run bench [-- --row N[,N...]]
 *
 * Peers are what is on PATH (dockerd, runc, docker); those that are missing are named. Each engine runs in a throw-away
 * machine of namespaces, with its own roots and socket; samples are taken in turn. Prints one table and writes
 * docs/performance.md and docs/performance.svg; a run of some rows replaces only those (build/bench.json keeps the others).
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { project } from "../test/harness/engine.ts";
import { Engines } from "./engines.ts";
import type { Line } from "./measure.ts";
import { document, plot, tableText } from "./report.ts";

interface Program {
  rows: number[];
  load: () => Promise<{ run(engines: Engines): Promise<Line[]> }>;
}

const programs: Program[] = [
  { rows: [1], load: () => import("./rows/cycle.ts") },
  { rows: [2, 3, 16], load: () => import("./rows/run.ts") },
  { rows: [4, 6, 17], load: () => import("./rows/fleet.ts") },
  { rows: [5, 25], load: () => import("./rows/many.ts") },
  { rows: [7], load: () => import("./rows/exec.ts") },
  { rows: [8], load: () => import("./rows/runtime.ts") },
  { rows: [9], load: () => import("./rows/pull.ts") },
  { rows: [41, 42, 43], load: () => import("./rows/pull-shapes.ts") },
  { rows: [44], load: () => import("./rows/images.ts") },
  { rows: [19], load: () => import("./rows/push.ts") },
  { rows: [20, 21], load: () => import("./rows/archive.ts") },
  { rows: [11], load: () => import("./rows/log.ts") },
  { rows: [12], load: () => import("./rows/list.ts") },
  { rows: [13], load: () => import("./rows/ports.ts") },
  { rows: [14], load: () => import("./rows/throughput.ts") },
  { rows: [22], load: () => import("./rows/names.ts") },
  { rows: [26, 27, 28, 29], load: () => import("./rows/life.ts") },
  { rows: [15, 18], load: () => import("./rows/daemon.ts") },
];

const { values } = parseArgs({ options: { row: { type: "string" } } });
const asked = values.row?.split(",").map(Number);
const chosen = programs.filter(({ rows }) => asked === undefined || rows.some((row) => asked.includes(row)));
if (chosen.length === 0) throw new Error(`no row ${values.row}; there are ${programs.flatMap(({ rows }) => rows).sort((a, b) => a - b).join(", ")}`);

const engines = new Engines();
const lines: Line[] = [];
const failures: string[] = [];
for (const { rows, load } of chosen) {
  process.stderr.write(`measuring row ${rows.join(", ")} ...\n`);
  try {
    lines.push(...(await (await load()).run(engines)));
  } catch (thrown) {
    failures.push(`row ${rows.join(", ")}: ${(thrown as Error).message.split("\n")[0]}`);
    process.stderr.write(`  failed: ${(thrown as Error).stack}\n`);
  } finally {
    await engines.reset();
  }
}
process.stdout.write(tableText({ lines: inOrder(lines), failures, missing: engines.missing }));
const kept = join(project, "build", "bench.json");
const others = asked === undefined || !existsSync(kept) ? [] : (JSON.parse(readFileSync(kept, "utf8")) as Line[]).filter(({ id }) => !lines.some((line) => parseInt(line.id) === parseInt(id)));
const all = inOrder([...others, ...lines]);
writeFileSync(kept, JSON.stringify(all));
writeFileSync(join(project, "docs", "performance.md"), document({ lines: all, failures, missing: engines.missing }));
writeFileSync(join(project, "docs", "performance.svg"), plot(all));
if (failures.length > 0) process.exitCode = 1;

function inOrder(lines: Line[]): Line[] {
  return lines.toSorted((a, b) => parseInt(a.id) - parseInt(b.id) || (a.id < b.id ? -1 : 1));
}
