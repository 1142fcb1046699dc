/** Row 9: a cold pull of 10 layers, 500 MB, from a registry on the loopback; and what two gzip | tar take for the same blobs. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine } from "../../test/harness/engine.ts";
import { which } from "../../test/harness/cli.ts";
import { LeanClient } from "../client.ts";
import type { Engines } from "../engines.ts";
import { compare, type Line, milliseconds, percentile, rest, stat } from "../measure.ts";
import { layerOf, registryName, RegistryStore } from "../../test/harness/registry.ts";

const rounds = 3;
const layers = 10;

export async function run(engines: Engines): Promise<Line[]> {
  if (which("docker-registry") === undefined) throw new Error("docker-registry is missing (Debian: apt-get install docker-registry)");
  const store = new RegistryStore(mkdtempSync(join(tmpdir(), "gty-registry-")));
  try {
    const blobs = store.add("bench", Array.from({ length: layers }, (_, at) => layerOf(`layer-${at}`, { files: 500, mean: 100_000 })));
    return await measure(engines, store, blobs);
  } finally {
    store.remove();
  }
}

async function measure(engines: Engines, store: RegistryStore, blobs: readonly string[]): Promise<Line[]> {
  const both = await engines.both();
  for (const { machine } of both) await store.serve(machine);
  const times: number[][] = both.map(() => []);
  const tar: number[] = [];
  const pings: number[] = [];
  const memory: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    for (const [at, engine] of both.entries()) {
      const sample = await pull(engine, "bench");
      if (round > 0) {
        times[at]?.push(sample.milliseconds);
        if (at === 0) memory.push(sample.grown);
        if (at === 0) pings.push(...sample.pings);
      }
      await engine.api.json("DELETE", `/images/${registryName}/bench:1`, { query: { force: true }, timeoutMs: 600_000 });
      await rest(3000);
    }
    const unpacked = await unpackByTar(blobs, both[0].machine.folder);
    if (round > 0) tar.push(unpacked);
    await rest(1000);
  }
  const [ours = [], theirs] = times;
  const size = `${layers} layers, ${Math.round(blobs.reduce((sum, path) => sum + statSync(path).size, 0) / 1e6)} MB compressed`;
  return [
    compare({ id: "9a", what: `cold pull of ${size}, from docker-registry on the loopback`, unit: "ms", ours: stat(ours), peer: engines.peerName, ...(theirs && { theirs: stat(theirs) }), target: { most: 0.5 } }),
    compare({ id: "9b", what: "the same against its blobs through gzip -dc | tar x, two at a time", unit: "ms", ours: stat(ours), peer: "gzip and tar", theirs: stat(tar), target: { most: 0.75 } }),
    { id: "9c", what: "resident memory that the daemon gains while it pulls", unit: "MB", ours: stat(memory), peer: "60 MB at most" },
    { id: "9d", what: "/_ping while it pulls, 99th percentile", unit: "ms", ours: stat([percentile(pings, 0.99)]), peer: "5 ms at most" },
  ];
}

export interface Sample {
  milliseconds: number;
  /** Megabytes. */
  grown: number;
  pings: number[];
}

/** Beside it, the daemon's memory and its pings. */
export async function pull(engine: Engine, name: string): Promise<Sample> {
  const pid = hostPid(engine);
  const before = residentMB(pid);
  let most = before;
  let done = false;
  const watching = (async () => {
    while (!done) {
      most = Math.max(most, residentMB(pid));
      await rest(5);
    }
  })();
  let took = 0;
  const pull = async (): Promise<void> => {
    const { status, body } = await engine.api.send("POST", "/images/create", { query: { fromImage: `${registryName}/${name}`, tag: "1" }, timeoutMs: 600_000 });
    if (status !== 200 || body.includes('"errorDetail"')) throw new Error(`pull: ${status} ${body.toString().slice(-500)}`);
  };
  const pings = await new LeanClient(engine).pings(5, async () => (took = await milliseconds(pull)));
  done = true;
  await watching;
  return { milliseconds: took, grown: most - before, pings };
}

const residentMB = (pid: string): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

/** The daemon's process as the host counts. */
function hostPid(engine: Engine): string {
  const inside = String(engine.pid());
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const ids = /^NSpid:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]?.trim().split(/\s+/) ?? [];
      if (ids.length > 1 && ids.at(-1) === inside && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(engine.socket)) return pid;
    } catch {
      continue;
    }
  }
  throw new Error("the daemon's process is gone");
}

async function unpackByTar(blobs: readonly string[], folder: string): Promise<number> {
  const into = join(folder, "tar");
  mkdirSync(into);
  const began = performance.now();
  execFileSync("xargs", ["-P", "2", "-I", "{}", "sh", "-c", 'mkdir "$1/$(basename "$(dirname "$2")")" && gzip -dc "$2" | tar -x -C "$1/$(basename "$(dirname "$2")")"', "sh", into, "{}"], { input: blobs.join("\n") });
  const took = performance.now() - began;
  rmSync(into, { recursive: true });
  return took;
}
