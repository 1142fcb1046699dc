/** Taking samples in turn, and what a row of the table is. */
import { setTimeout as delay } from "node:timers/promises";

/** Samples of one thing in one unit. */
export interface Stat {
  median: number;
  low: number;
  high: number;
  count: number;
}

export interface Line {
  /** As in the table of targets, with a letter where a row has several lines: "1a". */
  id: string;
  what: string;
  unit: "ms" | "MB" | "/s" | "MB/s";
  ours: Stat;
  /** The name and version of the peer, or why there is none. */
  peer: string;
  theirs?: Stat;
  /** ours / theirs, or another quotient that `quotient` explains. */
  ratio?: number;
  /** What the ratio should be: at most (a time, a size) or at least (a rate). */
  target?: { most: number } | { least: number };
  note?: string;
}

export function stat(samples: number[]): Stat {
  if (samples.length === 0) throw new Error("no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
  return { median: at(0.5), low: at(0.1), high: at(0.9), count: sorted.length };
}

export function percentile(samples: number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
}

export async function milliseconds(call: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await call();
  return performance.now() - began;
}

/**
 * Runs each once unmeasured, then all in turn, so that a noisy moment meets all of them; `block` times in a row when its turn
 * has come. Alone in its turn a short call finds what the other left in the processors' caches: nothing of its own.
 */
export async function inTurn(rounds: number, calls: (() => Promise<unknown>)[], block = 1): Promise<Stat[]> {
  for (const call of calls) await call();
  const samples: number[][] = calls.map(() => []);
  for (let round = 0; round < rounds; round++) for (const [index, call] of calls.entries()) for (let count = 0; count < block; count++) samples[index]?.push(await milliseconds(call));
  return samples.map(stat);
}

/** Calls for each item with so many at a time; the milliseconds of all together. */
export async function together<T>(items: readonly T[], width: number, call: (item: T) => Promise<unknown>): Promise<number> {
  const queue = items.values();
  return milliseconds(() =>
    Promise.all(
      Array.from({ length: width }, async () => {
        for (const item of queue) await call(item);
      }),
    ),
  );
}

/** A line of ours against theirs; without a peer, the reason stands in its place. */
export function compare(line: Omit<Line, "ratio">): Line {
  return line.theirs === undefined ? line : { ...line, ratio: line.ours.median / line.theirs.median };
}

export const rest = (ms: number): Promise<void> => delay(ms);
