/**
 * Pulls, loads, imports, commits, removals, prunes and collections at once, killed with -9 at random moments. After each: no half image, nothing that was complete is lost,
 * nothing left over. GANTRY_KILLS says how often, GANTRY_KILLS_SEED repeats the choices.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Random } from "../faults/soak/random.ts";
import { fastFolder } from "./escapes.ts";

const kills = Number(process.env["GANTRY_KILLS"] ?? 6);
const seed = Number(process.env["GANTRY_KILLS_SEED"] ?? 1);
/** More are done in as many stores at once as there are processors. */
const fewKills = 50;
/** A kill comes some moments after so many of the program's lines: on a slow machine as on a fast one. */
const mostLines = 40;
const mostMilliseconds = 8;

/** What each name may mean: an id or "-"; "any" while a step that gives it a new one is under way. */
class Names {
  readonly #certain = new Map<string, string>();
  readonly #underWay = new Set<string>();

  begin(name: string): void {
    this.#underWay.add(name);
  }

  end(name: string, id: string): void {
    this.#certain.set(name, id);
    this.#underWay.delete(name);
  }

  /** What a start found, compared with what must be. */
  found(now: Record<string, string>): string[] {
    const wrong: string[] = [];
    for (const [name, id] of this.#certain) {
      const here = now[name] ?? "-";
      if (here !== id && !this.#underWay.has(name)) wrong.push(`${name} is ${here}, and was ${id}`);
    }
    this.#certain.clear();
    this.#underWay.clear();
    for (const [name, id] of Object.entries(now)) this.#certain.set(name, id);
    return wrong;
  }
}

/** One life of the program: what it said was wrong, and how many steps it ended. */
async function life(dir: string, { seed: own, after, names }: { seed: number; after: { lines: number; milliseconds: number }; names: Names }): Promise<{ wrong: string[]; steps: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "kills.ts")], { env: { ...process.env, DIR: join(dir, "stores"), NODE_COMPILE_CACHE: join(dir, "compiled"), SEED: String(own) }, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const wrong: string[] = [];
  let steps = 0;
  let left = after.lines;
  for await (const line of createInterface(child.stdout)) {
    const [what, name = "", id = ""] = line.split(" ");
    if (what === "found") {
      wrong.push(...names.found(JSON.parse(line.slice(6)) as Record<string, string>));
    } else if (what === "begin") names.begin(name);
    else if (what === "end") {
      names.end(name, id);
      steps++;
    } else wrong.push(line);
    if (left-- === 0) setTimeout(() => child.kill("SIGKILL"), after.milliseconds);
  }
  await exited;
  if (child.signalCode !== "SIGKILL") wrong.push(`ended by itself: ${child.exitCode}`);
  return { wrong, steps };
}

/** So many lives one after the other on the same stores; the number of steps that ended. */
async function lives(count: number, own: number): Promise<number> {
  const dir = mkdtempSync(join(fastFolder(), "gantry-kills-"));
  const random = new Random(own);
  const names = new Names();
  let steps = 0;
  try {
    for (let at = 1; at <= count; at++) {
      const one = await life(dir, { seed: own * 100_000 + at, after: { lines: random.below(mostLines), milliseconds: random.below(mostMilliseconds) }, names });
      assert.deepEqual(one.wrong, [], `seed ${own}, life ${at}`);
      steps += one.steps;
    }
    const last = await life(dir, { seed: own, after: { lines: 0, milliseconds: 0 }, names });
    assert.deepEqual(last.wrong, []);
    return steps;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test(`killed ${kills} times in the middle of work on images, seed ${seed}`, { timeout: 60_000 + kills * 20_000 }, async (context) => {
  const count = kills < fewKills ? 1 : availableParallelism();
  const steps = await Promise.all(Array.from({ length: count }, (_, at) => lives(Math.ceil(kills / count), seed + at)));
  context.diagnostic(`kills ${Math.ceil(kills / count) * count}, steps that ended ${steps.reduce((sum, one) => sum + one)}`);
});
