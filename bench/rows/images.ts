/** Row 44: the list of many images, by one client after the other and by eight at once. */
import { tarEnd, tarHeader } from "../../src/lib/tar-header.ts";
import type { Engine } from "../../test/harness/engine.ts";
import { LeanClient } from "../client.ts";
import type { Engines } from "../engines.ts";
import { compare, type Line, percentile, stat, together } from "../measure.ts";

const images = process.env["GANTRY_BENCH_SMALL"] === undefined ? 1000 : 20;
const requests = 500;

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  for (const engine of both) await together(Array.from({ length: images }, (_, at) => at), 4, (at) => make(engine, at));
  const lean = both.map((engine) => new LeanClient(engine));
  const lines: Line[] = [];
  for (const [letter, clients] of [["a", 1], ["b", 8]] as const) {
    const samples: number[][] = both.map(() => []);
    for (let round = 0; round < 5; round++) for (const [index, client] of lean.entries()) samples[index]?.push(...(await client.requests("/images/json", { clients, count: requests / 5 })));
    const [ours, theirs] = samples.map((times) => ({ ...stat(times), median: percentile(times, 0.99) }));
    const what = `list of ${images} images, ${clients === 1 ? "one client" : `${clients} clients at once`} (99th percentile)`;
    lines.push(compare({ id: `44${letter}`, what: `${what}${letter === "a" ? ", 5 ms at most" : ""}`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }) }));
  }
  return lines;
}

/** A layer of its own, and a name. */
async function make(engine: Engine, at: number): Promise<void> {
  const bytes = Buffer.concat([tarHeader({ name: `image-${at}/`, size: 0, mode: 0o755, mtime: 0 }), tarEnd()]);
  const { status, body } = await engine.api.send("POST", "/images/create", { query: { fromSrc: "-", repo: `many-${at}`, tag: "1" }, body: bytes, headers: { "content-type": "application/x-tar" } });
  if (status !== 200 || body.includes('"error"')) throw new Error(`import: ${status} ${body.toString()}`);
}
