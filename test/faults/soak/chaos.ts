/** Who is killed, and when. */
import { setTimeout as delay } from "node:timers/promises";
import { Random } from "./random.ts";
import type { World } from "./world.ts";

export async function killAtRandom(world: World, seed: number, until: () => boolean): Promise<void> {
  const random = new Random(seed);
  while (!until()) {
    await delay(100 + random.below(1000));
    const what = random.below(100);
    const choice = random.below(1 << 16);
    if (until()) return;
    if (what < 35) await killDaemon(world, choice);
    else if (what < 45) killOne(world, "gantry-launch", choice);
    else if (what < 80) await killShimOf(world, choice);
    else if (killOne(world, "gantry-shim", choice)) for (const subject of world.subjects) shimLost(subject);
  }
}

async function killDaemon(world: World, choice: number): Promise<void> {
  let isUp = (): void => {};
  world.up = new Promise((resolve) => (isUp = resolve));
  world.daemonKilled();
  await world.engine.kill();
  // Containers may end while nobody looks.
  await delay(choice % 3 === 0 ? 500 : 0);
  const took = await world.engine.start();
  world.note(`gantryd answers after ${Math.round(took)} ms`);
  world.count("kill gantryd");
  for (const { model } of world.subjects) model.newDaemon();
  isUp();
}

function shimLost(subject: World["subjects"][number]): void {
  subject.shimKilled = true;
  const lost = subject.model.lostShim();
  setTimeout(() => subject.model.seenShim(lost), 5000).unref();
}

/** A process by its name, as the machine inside counts. */
function killOne(world: World, name: string, choice: number): boolean {
  const pids = pidsOf(world, name);
  const pid = pids[choice % pids.length];
  if (pid === undefined) return false;
  world.otherKilled(`${name} ${pid}`);
  world.count(`kill ${name}`);
  return kill(world, pid);
}

async function killShimOf(world: World, choice: number): Promise<void> {
  const candidates = world.subjects.filter(({ model }) => model.possible.has("running") || model.possible.has("paused"));
  const subject = candidates[choice % candidates.length];
  if (subject === undefined) return;
  try {
    const { State } = await world.engine.api.json("GET", `/containers/${subject.ref}/json`);
    if (State.Pid === 0) return;
    const parent = world.engine.machine.run("ps", "-o", "ppid=,comm=", "-p", String(State.Pid)).trim();
    // Its program was about to end: whatever has its number now is none of ours. An --init stands in between.
    const shim = world.engine.machine.run("ps", "-o", "comm=", "-p", parent.split(/\s+/)[0] ?? "").trim();
    if (shim !== "gantry-shim") return;
    world.otherKilled(`shim of ${subject.program.name} ${subject.ref}`);
    world.count("kill gantry-shim");
    shimLost(subject);
    kill(world, parent.split(/\s+/)[0] ?? "");
  } catch {
    // It ended meanwhile.
  }
}

function kill(world: World, pid: string): boolean {
  try {
    world.engine.machine.run("kill", "-9", pid);
    return true;
  } catch {
    return false;
  }
}

function pidsOf(world: World, name: string): string[] {
  try {
    return world.engine.machine.run("pgrep", "-x", name).trim().split("\n");
  } catch {
    return [];
  }
}
