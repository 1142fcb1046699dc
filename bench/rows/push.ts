/** Row 19: a push of 10 layers, 500 MB, to an empty registry on the loopback. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { which } from "../../test/harness/cli.ts";
import type { Engine } from "../../test/harness/engine.ts";
import { layerOf, registryName, RegistryStore } from "../../test/harness/registry.ts";
import type { Engines } from "../engines.ts";
import { compare, type Line, milliseconds, rest, stat } from "../measure.ts";

const rounds = 3;
const firstPort = 5001;

export async function run(engines: Engines): Promise<Line[]> {
  if (which("docker-registry") === undefined) throw new Error("docker-registry is missing (Debian: apt-get install docker-registry)");
  const store = new RegistryStore(mkdtempSync(join(tmpdir(), "gty-registry-")));
  try {
    store.add("bench", Array.from({ length: 10 }, (_, at) => layerOf(`layer-${at}`, { files: 500, mean: 100_000 })));
    const both = await engines.both();
    for (const engine of both) {
      const end = await store.serve(engine.machine);
      await call(engine, "/images/create", { fromImage: `${registryName}/bench`, tag: "1" });
      end();
    }
    const [ours = [], theirs] = await samples(both);
    return [compare({ id: "19", what: "push of 10 layers, 500 MB, to an empty docker-registry on the loopback", unit: "ms", ours: stat(ours), peer: engines.peerName, ...(theirs && { theirs: stat(theirs) }), target: { most: 0.7 } })];
  } finally {
    store.remove();
  }
}

async function samples(engines: readonly Engine[]): Promise<number[][]> {
  const times: number[][] = engines.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [at, engine] of engines.entries()) {
      const took = await push(engine, `127.0.0.1:${firstPort + round}`);
      if (round > 0) times[at]?.push(took);
      await rest(3000);
    }
  }
  return times;
}

async function push(engine: Engine, registry: string): Promise<number> {
  const store = new RegistryStore(mkdtempSync(join(tmpdir(), "gty-registry-")));
  try {
    const end = await store.serve(engine.machine, registry);
    await engine.api.json("POST", `/images/${registryName}/bench:1/tag`, { query: { repo: `${registry}/bench`, tag: "1" } });
    const took = await milliseconds(() => call(engine, `/images/${registry}/bench/push`, { tag: "1" }));
    await engine.api.json("DELETE", `/images/${registry}/bench:1`);
    end();
    return took;
  } finally {
    store.remove();
  }
}

async function call(engine: Engine, path: string, query: Record<string, string>): Promise<void> {
  const { status, body } = await engine.api.send("POST", path, { query, headers: { "x-registry-auth": "e30=" }, timeoutMs: 120_000 });
  if (status !== 200 || body.includes('"errorDetail"')) throw new Error(`${path}: ${status} ${body.toString().slice(-500)}`);
}
