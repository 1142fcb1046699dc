/** Row 11: 2 million lines of 100 bytes into the json-file log, and back; and the same lines by `cat` to a file. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "../../test/harness/engine.ts";
import { type Engines, remove } from "../engines.ts";
import { compare, type Line, milliseconds, stat } from "../measure.ts";

const lines = 2_000_000;
const megabytes = (lines * 100) / 1e6;
const rounds = 3;

interface Rates {
  write: number[];
  read: number[];
}

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const rates: Rates[] = both.map(() => ({ write: [], read: [] }));
  const cat: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [index, engine] of both.entries()) await measure(engine, rates[index]!);
    cat.push(catRate(both[0]));
  }
  const [ours, theirs] = rates;
  const line = (id: string, what: string, key: keyof Rates): Line =>
    compare({ id, what, unit: "MB/s", ours: stat(ours![key]), peer: engines.peerName, ...(theirs && { theirs: stat(theirs[key]) }), target: { least: 10 } });
  return [
    line("11a", "2 million lines of 100 bytes to the log", "write"),
    line("11b", "the same, read back by the API", "read"),
    compare({ id: "11c", what: "writing them, against cat > file", unit: "MB/s", ours: stat(ours!.write), peer: "cat > file", theirs: stat(cat), target: { least: 0.5 }, note: "the log is 1.7 times what cat writes" }),
  ];
}

/** A static program that prints as fast as a pipe takes it. */
function printer(engine: Engine): string {
  const folder = join(engine.machine.folder, "bench");
  mkdirSync(folder, { recursive: true });
  execFileSync("cc", ["-O2", "-static", "-o", join(folder, "lines"), join(import.meta.dirname, "..", "lines.c")]);
  return folder;
}

/** Pages that the host of a virtual machine took back cost far more than what is measured: have them all come from a file just removed. */
function warmPages(folder: string): void {
  execFileSync("sh", ["-c", `head -c 500m /dev/zero > ${folder}/warm && rm ${folder}/warm`]);
}

async function measure(engine: Engine, rates: Rates): Promise<void> {
  const folder = printer(engine);
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["/bench/lines", String(lines)], HostConfig: { Binds: [`${folder}:/bench:ro`], LogConfig: { Type: "json-file", Config: {} } } } });
  warmPages(folder);
  const wrote = await milliseconds(async () => {
    await engine.api.json("POST", `/containers/${Id}/start`);
    await engine.api.json("POST", `/containers/${Id}/wait`, { timeoutMs: 120_000 });
  });
  rates.write.push(megabytes / (wrote / 1000));
  let bytes = 0;
  const read = await milliseconds(async () => (bytes = await engine.api.countBytes(`/containers/${Id}/logs?stdout=1`)));
  if (bytes < lines * 100) throw new Error(`${engine.program}: the log has ${bytes} bytes of ${lines * 100}`);
  rates.read.push(megabytes / (read / 1000));
  await remove(engine, Id);
}

function catRate(engine: Engine): number {
  const folder = printer(engine);
  warmPages(folder);
  const began = performance.now();
  execFileSync("sh", ["-c", `${folder}/lines ${lines} | cat > ${folder}/out`]);
  const rate = megabytes / ((performance.now() - began) / 1000);
  rmSync(join(folder, "out"));
  return rate;
}
