/**
 * Runs the test files: node scripts/test.ts [FILE-OR-FOLDER...]
 *
 * Tests beside the code run two files at a time; those in test/ drive whole daemons and measure them, so they run one by
 * one. Both phases print into one report that closes with Node's own lines of counts.
 */
import { globSync, statSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

interface Phase {
  files: string[];
  concurrency: number;
  timeoutMs: number;
}

type ReportEvent = { type: string; data: { message?: string; nesting?: number; file?: string } };

const countLine = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;

const asked = process.argv.slice(2);
const files = (asked.length > 0 ? asked : ["src", "test"]).flatMap(testFiles).sort();
if (files.length === 0) throw new Error(`no test file in ${asked.join(", ")}`);
const isWhole = (file: string): boolean => file.startsWith("test/");
const phases: Phase[] = [
  { files: files.filter((file) => !isWhole(file)), concurrency: 2, timeoutMs: 300_000 },
  { files: files.filter(isWhole), concurrency: 1, timeoutMs: 900_000 },
];

// spec() is a Transform of test events to text; its types know single runs only.
await pipeline(Readable.from(report(phases)), new spec() as NodeJS.ReadWriteStream, process.stdout, { end: false });

function testFiles(path: string): string[] {
  const found = statSync(path).isDirectory() ? globSync(`${path}/**/*.test.ts`) : [path];
  return found.map((file) => file.replace(/^\.\//, ""));
}

/** The events of all phases, with one set of counts at the end. */
async function* report(phases: Phase[]): AsyncGenerator<ReportEvent> {
  const counts = new Map<string, number>();
  for (const { files, concurrency, timeoutMs } of phases) {
    if (files.length === 0) continue;
    for await (const event of run({ files, concurrency, timeout: timeoutMs }) as AsyncIterable<ReportEvent>) {
      const [, name, value] = (event.type === "test:diagnostic" && event.data.file === undefined && countLine.exec(event.data.message ?? "")) || [];
      if (name === undefined) yield event;
      else counts.set(name, (counts.get(name) ?? 0) + Number(value));
    }
  }
  for (const [name, count] of counts) yield { type: "test:diagnostic", data: { nesting: 0, message: `${name} ${name === "duration_ms" ? Math.round(count) : count}` } };
  if ((counts.get("fail") ?? 0) > 0 || (counts.get("cancelled") ?? 0) > 0 || (counts.get("tests") ?? 0) === 0) process.exitCode = 1;
}
