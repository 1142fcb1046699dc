/**
 * Random calls of several clients while gantryd, the launcher and shims are killed, beside a model of what each container
 * may be. GANTRY_SOAK_SECONDS makes it longer, GANTRY_SOAK_SEED repeats its choices, GANTRY_SOAK_TRAIL keeps what was done.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { withEngine, type Engine } from "../harness/engine.ts";
import { killAtRandom } from "./soak/chaos.ts";
import { Client, watchEvents } from "./soak/clients.ts";
import { sharedNetwork, sharedVolume } from "./soak/changes.ts";
import { difference, type Holdings, settled } from "./soak/remains.ts";
import { World } from "./soak/world.ts";

const seconds = Number(process.env["GANTRY_SOAK_SECONDS"] ?? 30);
const seed = Number(process.env["GANTRY_SOAK_SEED"] ?? 1);
const clients = 8;

test(`${clients} clients for ${seconds} s while daemon, launcher and shims are killed, seed ${seed}`, () =>
  withEngine(async (engine) => {
    const before = await idle(engine);
    const world = new World(engine);
    const end = Date.now() + seconds * 1000;
    const over = (): boolean => Date.now() > end;
    let done = false;
    const events = watchEvents(world, () => done);
    const workers = Array.from({ length: clients }, (_, index) => new Client(world, seed * 1000 + index, `c${index}`));
    try {
      await engine.api.json("POST", "/networks/create", { json: { Name: sharedNetwork } });
      await engine.api.json("POST", "/volumes/create", { json: { Name: sharedVolume } });
      await Promise.all([...workers.map((worker) => worker.work(over)), killAtRandom(world, seed * 1000 + 999, over)]);
      for (const worker of workers) await worker.lookAtAll();
      await agree(world);
      await clear({ engine, disagree: (text) => world.disagree(text) });
      await waitsAnswered(world);
      world.events?.destroy();
      done = true;
      await events;
      engine.api.close();
      for (const line of await difference(engine, before)) world.disagree(line);
    } finally {
      done = true;
      world.events?.destroy();
      const trail = process.env["GANTRY_SOAK_TRAIL"];
      if (trail !== undefined) writeFileSync(trail, `${world.trail.join("\n")}\n${engine.log()}`);
    }
    console.log(`seed ${seed}: ${[...world.counts].sort().map(([what, count]) => `${what} ${count}`).join(", ")}`);
    assert.deepEqual(world.disagreements, []);
  }));

/** What a daemon holds that has run containers, and was killed, before. */
async function idle(engine: Engine): Promise<Holdings> {
  const runOne = async (): Promise<void> => {
    const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["true"], HostConfig: { PortBindings: { "80/tcp": [{}] } } } });
    await engine.api.json("POST", `/containers/${Id}/start`);
    await engine.api.json("DELETE", `/containers/${Id}?force=1`);
  };
  await runOne();
  await engine.kill();
  await engine.start();
  await runOne();
  engine.api.close();
  return settled(engine);
}

/** Looks at every container, and removes it. */
async function agree(world: World): Promise<void> {
  for (const subject of world.subjects) {
    await world.act(subject, "look", "GET", `/containers/${subject.ref}/json`);
    await world.act(subject, "force-remove", "DELETE", `/containers/${subject.ref}?force=1`);
    await world.act(subject, "look", "GET", `/containers/${subject.ref}/json`);
  }
  for (const { Id, Names } of await world.engine.api.json("GET", "/containers/json?all=1")) world.disagree(`left: container ${Names} ${Id}`);
}

/** Nothing uses anything any more: all of it can go, and then nothing is damaged or left over. */
async function clear({ engine, disagree }: { engine: Engine; disagree: (text: string) => void }): Promise<void> {
  const all = encodeURIComponent(JSON.stringify({ all: ["true"] }));
  await engine.api.json("POST", `/volumes/prune?filters=${all}`);
  await engine.api.json("POST", "/networks/prune");
  for (const { Id, RepoTags } of await engine.api.json("GET", "/images/json")) if (!RepoTags.includes("busybox:latest")) await engine.api.json("DELETE", `/images/${Id}?force=1`);
  for (const { Kind, Id, Problem } of (await engine.api.json("POST", "/system/check")).Problems) disagree(`system check: ${Kind} ${Id}: ${Problem}`);
}

async function waitsAnswered(world: World): Promise<void> {
  for (const { what, over } of world.waits) {
    const answered = await Promise.race([over.then(() => true), delay(30_000, false, { ref: false })]);
    if (!answered) world.disagree(`${what}: not answered`);
  }
}
