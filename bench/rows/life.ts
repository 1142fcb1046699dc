/** Rows 26 to 29: 100 execs at once, 20 followers of one log, copies of 1 GB, statistics of 200 containers as streams. */
import { execFileSync } from "node:child_process";
import { createReadStream, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Engine } from "../../test/harness/engine.ts";
import { create, type Engines, remove, startIdle } from "../engines.ts";
import { compare, type Line, milliseconds, rest, type Stat, stat, together } from "../measure.ts";
import { execTrue } from "./exec.ts";
import { processorMs } from "./fleet.ts";

const rounds = 3;

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const line = async (id: string, what: string, unit: Line["unit"], target: Line["target"], sample: ((engine: Engine) => Promise<number>) | Promise<Stat[]>): Promise<Line> => {
    const [ours, theirs] = typeof sample === "function" ? await alternating(both, sample) : await sample;
    return compare({ id, what, unit, ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), ...(target && { target }) });
  };
  return [
    await line("26", "100 execs of true in one container, all at once", "ms", undefined, manyExecs),
    await line("27", "20 followers of one log of 100 MB, all of their bytes", "MB/s", undefined, followers),
    await line("28a", "copy of a file of 1 GB out of a container (GET archive)", "ms", { most: 0.7 }, copyOut),
    await line("28b", "copy of a file of 1 GB into a container (PUT archive)", "ms", { most: 0.7 }, copyIn),
    await line("29", "processor time of the engine for the statistics of 200 containers as streams, 10 s", "ms", { most: 0.3 }, statistics(both)),
  ];
}

async function alternating(engines: readonly Engine[], sample: (engine: Engine) => Promise<number>): Promise<Stat[]> {
  const samples: number[][] = engines.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, engine] of engines.entries()) {
      samples[at]?.push(await sample(engine));
      await rest(1000);
    }
  }
  return samples.map(stat);
}

async function withIdle<T>(engine: Engine, work: (id: string) => Promise<T>): Promise<T> {
  const id = await startIdle(engine);
  try {
    return await work(id);
  } finally {
    await remove(engine, id);
  }
}

const manyExecs = (engine: Engine): Promise<number> => withIdle(engine, (id) => together(Array.from({ length: 100 }), 100, () => execTrue(engine, id)));

async function followers(engine: Engine): Promise<number> {
  const [megabytes, count] = [100, 20];
  const id = await create(engine, ["sh", "-c", `sleep 2; yes ${"x".repeat(99)} | head -c ${megabytes}000000`]);
  await engine.api.json("POST", `/containers/${id}/start`);
  let bytes: number[] = [];
  const took = await milliseconds(async () => (bytes = await Promise.all(Array.from({ length: count }, () => engine.api.countBytes(`/containers/${id}/logs?follow=1&stdout=1`)))));
  const all = bytes.reduce((sum, one) => sum + one, 0);
  await remove(engine, id);
  if (all < count * megabytes * 1e6) throw new Error(`${engine.program}: the followers got ${all} bytes of ${count * megabytes * 1e6}`);
  return all / 1e6 / ((took - 2000) / 1000);
}

const copyOut = (engine: Engine): Promise<number> =>
  withIdle(engine, async (id) => {
    await engine.api.send("PUT", `/containers/${id}/archive`, { query: { path: "/" }, body: createReadStream(archive(engine)), headers: { "content-type": "application/x-tar" }, timeoutMs: 120_000 });
    await rest(2000);
    return milliseconds(() => engine.api.countBytes(`/containers/${id}/archive?path=/big`));
  });

const copyIn = (engine: Engine): Promise<number> =>
  withIdle(engine, async (id) => {
    const file = archive(engine);
    const took = await milliseconds(async () => {
      const { status } = await engine.api.send("PUT", `/containers/${id}/archive`, { query: { path: "/" }, body: createReadStream(file, { highWaterMark: 1 << 20 }), headers: { "content-type": "application/x-tar", "content-length": String(statSync(file).size) }, timeoutMs: 120_000 });
      if (status !== 200) throw new Error(`${engine.program}: copy: status ${status}`);
    });
    rmSync(file);
    return took;
  });

/** A tar of one file of 1 GB that no disk can shorten. */
function archive(engine: Engine): string {
  const folder = engine.machine.folder;
  execFileSync("sh", ["-c", `head -c 1000000000 /dev/urandom > big && tar cf big.tar big && rm big`], { cwd: folder });
  return join(folder, "big.tar");
}

/** The containers are started once, and each engine measured in turn. */
async function statistics(engines: readonly Engine[]): Promise<Stat[]> {
  const streaming: Socket[] = [];
  try {
    for (const engine of engines) {
      const ids: string[] = [];
      await together(Array.from({ length: 200 }), 8, async () => ids.push(await startIdle(engine)));
      for (const id of ids) streaming.push(statisticsOf(engine, id));
    }
    return await alternating(engines, async (engine) => {
      const before = processorMs(engine);
      await rest(10_000);
      return processorMs(engine) - before;
    });
  } finally {
    for (const stream of streaming) stream.destroy();
  }
}

function statisticsOf(engine: Engine, id: string): Socket {
  const stream = connect(engine.socket);
  stream.resume().write(`GET /containers/${id}/stats HTTP/1.1\r\nHost: docker\r\n\r\n`);
  return stream;
}
