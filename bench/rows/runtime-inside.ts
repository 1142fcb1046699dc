/**
 * The measuring half of row 8, run inside the test machine: node runtime-inside.ts BUNDLE FOLDER PROGRAM...
 *
 * Prints {"runs": [[ms...], ...], "rates": [[perSecond...], ...]} for each PROGRAM, OCI runtimes by their command line, and at the end of
 * `runs` for ours without a process of its own.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { OciSpec } from "../../src/lib/oci-spec.ts";
import { detectHost } from "../../src/oci/host.ts";
import { ShimRuntime } from "../../src/oci/runtime.ts";
import { milliseconds, together } from "../measure.ts";

const [bundle = "", folder = "", ...programs] = process.argv.slice(2);
const execute = promisify(execFile);
const rounds = 30;
const createRounds = 5;
const creates = 40;

const spec = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8")) as OciSpec;
let serial = 0;

const runtime = new ShimRuntime({ execRoot: `${folder}/exec`, host: detectHost() });
await runtime.prepare(undefined);
const calls = [...programs.map((program, index) => () => execute(program, ["--root", `${folder}/root${index}`, "run", "--bundle", bundle, `r${serial++}`])), runInProcess];
const runs: number[][] = calls.map(() => []);
for (const call of calls) await call();
for (let round = 0; round < rounds; round++) for (const [index, call] of calls.entries()) runs[index]!.push(await milliseconds(call));
await runtime.launcher.end();
await runtime.close();

const rates: number[][] = programs.map(() => []);
for (let round = 0; round < createRounds; round++) for (const [index, program] of programs.entries()) rates[index]!.push(await createRate(program, `${folder}/root${index}`));
process.stdout.write(JSON.stringify({ runs, rates }));

async function runInProcess(): Promise<void> {
  const task = await runtime.create({ id: `r${serial++}`, spec, rootfs: [{ type: "bind", source: `${bundle}/rootfs`, readonly: true }], stdio: { terminal: false, stdin: false, stdinOnce: false }, log: { kind: "none" }, autostart: true });
  const { code } = await task.exited;
  await task.release();
  if (code !== 0) throw new Error(`true ended with ${code}`);
}

/** Created containers keep what they have as output: it must not be a pipe of ours. */
async function createRate(program: string, root: string): Promise<number> {
  const ids = Array.from({ length: creates }, () => `c${serial++}`);
  const ms = await together(ids, 16, (id) => execute("sh", ["-c", 'exec "$@" >/dev/null 2>&1', "sh", program, "--root", root, "create", "--bundle", bundle, id]));
  await together(ids, 4, (id) => execute(program, ["--root", root, "delete", "--force", id]));
  return creates / (ms / 1000);
}
