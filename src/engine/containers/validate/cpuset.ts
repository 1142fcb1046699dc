/** Lists of CPUs and memory nodes as cgroup files have them: "0-2,5". */
import { invalidParameter } from "../../../lib/errors.ts";

/** Bounds the work on a hostile list (CVE-2018-20699). */
const MAX = 8192;

/** Throws Docker's error unless everything in `requested` is in `available`. */
export function checkCpusetAvailable(requested: string, available: string, words: { list: string; missing: string }): void {
  if (requested === "") return;
  const have = parseList(available, Number.MAX_SAFE_INTEGER, available) ?? [];
  const most = Math.max(MAX, ...have.map((range) => range.last));
  let ranges: Range[];
  try {
    ranges = parseList(requested, most, requested);
  } catch (error) {
    throw invalidParameter(`Invalid value ${requested} for ${words.list}: ${(error as Error).message}`);
  }
  const isAvailable = (one: number): boolean => have.some((range) => range.first <= one && one <= range.last);
  for (const { first, last } of ranges) {
    for (let one = first; one <= last; one++) {
      if (!isAvailable(one)) throw invalidParameter(`Requested ${words.missing} are not available - requested ${requested}, available: ${available}`);
    }
  }
}

interface Range {
  first: number;
  last: number;
}

function parseList(text: string, maximum: number, whole: string): Range[] {
  if (text === "") return [];
  return text.split(",").map((part) => {
    const match = /^(\+?\d+)(?:-(\+?\d+))?$/.exec(part);
    const range = match && { first: Number(match[1]), last: Number(match[2] ?? match[1]) };
    if (!range || range.last < range.first) throw new Error(`invalid format: ${whole}`);
    if (range.last > maximum) throw new Error(`value of out range, maximum is ${maximum}`);
    return range;
  });
}
