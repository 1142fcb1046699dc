/** Rows 20 and 21: save and load of an image of 10 layers, 500 MB. Each engine loads the same two archives: one of Gantry, one of the peer. */
import { once } from "node:events";
import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { which } from "../../test/harness/cli.ts";
import type { Engine } from "../../test/harness/engine.ts";
import { layerOf, registryName, RegistryStore } from "../../test/harness/registry.ts";
import type { Engines } from "../engines.ts";
import { compare, type Line, milliseconds, rest, type Stat, stat } from "../measure.ts";

const rounds = 3;
const image = `${registryName}/bench:1`;

export async function run(engines: Engines): Promise<Line[]> {
  if (which("docker-registry") === undefined) throw new Error("docker-registry is missing (Debian: apt-get install docker-registry)");
  const store = new RegistryStore(mkdtempSync(join(tmpdir(), "gty-registry-")));
  const folder = mkdtempSync(join(tmpdir(), "gty-archives-"));
  try {
    store.add("bench", Array.from({ length: 10 }, (_, at) => layerOf(`layer-${at}`, { files: 500, mean: 100_000 })));
    const both = await engines.both();
    const archives: string[] = [];
    for (const [at, engine] of both.entries()) {
      const end = await store.serve(engine.machine);
      await engine.api.send("POST", "/images/create", { query: { fromImage: image.slice(0, -2), tag: "1" }, timeoutMs: 120_000 });
      end();
      const archive = join(folder, `${at}.tar`);
      await pipeline(await engine.api.open("GET", `/images/${image}/get`), createWriteStream(archive));
      archives.push(archive);
    }
    const [ours, theirs] = await inTurn(both, save);
    const peer = engines.peerName;
    const lines = [compare({ id: "20", what: "save of 10 layers, 500 MB", unit: "ms", ours: ours as Stat, peer, ...(theirs && { theirs }), target: { most: 0.5 } })];
    for (const [at, archive] of archives.entries()) {
      const [own, other] = await inTurn(both, (engine) => load(engine, archive));
      const what = `load of the same, an archive of ${at === 0 ? "Gantry" : peer} (${Math.round(statSync(archive).size / 1e6)} MB)`;
      lines.push(compare({ id: `21${"ab"[at]}`, what, unit: "ms", ours: own as Stat, peer, ...(other && { theirs: other }), target: { most: 0.5 } }));
    }
    return lines;
  } finally {
    store.remove();
    rmSync(folder, { recursive: true });
  }
}

async function inTurn(engines: readonly Engine[], sample: (engine: Engine) => Promise<number>): Promise<Stat[]> {
  const times: number[][] = engines.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [at, engine] of engines.entries()) {
      const took = await sample(engine);
      if (round > 0) times[at]?.push(took);
      await rest(2000);
    }
  }
  return times.map(stat);
}

const save = (engine: Engine): Promise<number> => milliseconds(() => engine.api.countBytes(`/images/${image}/get`));

async function load(engine: Engine, archive: string): Promise<number> {
  await engine.api.json("DELETE", `/images/${image}`, { query: { force: true } });
  await rest(3000);
  return milliseconds(async () => {
    const body = createReadStream(archive, { highWaterMark: 1 << 20 });
    const response = await engine.api.open("POST", "/images/load", { body, headers: { "content-type": "application/x-tar", "content-length": statSync(archive).size }, timeoutMs: 120_000 });
    let text = "";
    response.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(response, "end");
    if (!text.includes("Loaded image: ")) throw new Error(`load: ${text.slice(-500)}`);
  });
}
