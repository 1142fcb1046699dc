/** One process as /proc tells of it (proc(5)). */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

export interface ProcessFacts {
  pid: number;
  ppid: number;
  pgid: number;
  session: number;
  /** Controlling terminal's device number, 0 without. */
  tty: number;
  comm: string;
  /** Empty for a zombie. */
  args: string[];
  state: string;
  uid: number;
  gid: number;
  /** Seconds of processor time. */
  cpuSeconds: number;
  /** Milliseconds since 1970. */
  startedAt: number;
  nice: number;
  priority: number;
  threads: number;
  /** KiB. */
  vsz: number;
  rss: number;
  processor: number;
  sessionLeader: boolean;
  foreground: boolean;
}

const TICKS = 100;

/** Reads /proc/PID; undefined when the process has ended meanwhile. */
export async function readProcess(pid: number): Promise<ProcessFacts | undefined> {
  try {
    const [stat, status, cmdline] = await Promise.all([readFile(`/proc/${pid}/stat`, "latin1"), readFile(`/proc/${pid}/status`, "latin1"), readFile(`/proc/${pid}/cmdline`)]);
    return parseProcess({ pid, stat, status, cmdline: cmdline.toString() }, bootMilliseconds());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

/** `boot` is the machine's start in milliseconds since 1970. */
export function parseProcess(raw: { pid: number; stat: string; status: string; cmdline: string }, boot: number): ProcessFacts {
  const open = raw.stat.indexOf("(");
  const close = raw.stat.lastIndexOf(")");
  const fields = raw.stat.slice(close + 2).trim().split(" ");
  // proc(5) numbers the fields from 1; the state is the third.
  const number = (field: number): number => Number(fields[field - 3] ?? 0);
  const ids = (key: string): number => Number(new RegExp(`^${key}:\\s+\\d+\\s+(\\d+)`, "m").exec(raw.status)?.[1] ?? 0);
  return {
    pid: raw.pid,
    ppid: number(4),
    pgid: number(5),
    session: number(6),
    tty: number(7),
    comm: raw.stat.slice(open + 1, close),
    args: raw.cmdline.split("\0").filter((_, index, all) => index < all.length - 1),
    state: fields[0] ?? "?",
    uid: ids("Uid"),
    gid: ids("Gid"),
    cpuSeconds: (number(14) + number(15)) / TICKS,
    startedAt: boot + (number(22) / TICKS) * 1000,
    nice: number(19),
    priority: number(18),
    threads: number(20),
    vsz: Math.floor(number(23) / 1024),
    rss: number(24) * 4,
    processor: number(39),
    sessionLeader: number(6) === raw.pid,
    foreground: number(8) === number(5),
  };
}

function bootMilliseconds(): number {
  return Number(/^btime (\d+)/m.exec(readFileSync("/proc/stat", "latin1"))?.[1] ?? 0) * 1000;
}
