/** The columns that ps can print: names, headings and values (ps(1), "standard format specifiers"). */
import { readFileSync } from "node:fs";
import type { ProcessFacts } from "./process.ts";

export interface Column {
  title: string;
  value: (process: ProcessFacts, machine: Machine) => string;
}

export interface Machine {
  /** Milliseconds since 1970. */
  now: number;
  memoryKiB: number;
  users: Map<number, string>;
  groups: Map<number, string>;
}

export function readMachine(): Machine {
  const total = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 1);
  return { now: Date.now(), memoryKiB: total, users: names("/etc/passwd"), groups: names("/etc/group") };
}

function names(path: string): Map<number, string> {
  const found = new Map<number, string>();
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return found;
  }
  for (const line of text.split("\n")) {
    const [name = "", , id = ""] = line.split(":");
    if (/^\d+$/.test(id) && !found.has(Number(id))) found.set(Number(id), name);
  }
  return found;
}

const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const elapsed = (process: ProcessFacts, machine: Machine): number => Math.max(0, Math.floor((machine.now - process.startedAt) / 1000));
const share = (process: ProcessFacts, machine: Machine): number => (100 * process.cpuSeconds) / Math.max(1, elapsed(process, machine));
const user = (id: number, names: Map<number, string>): string => names.get(id) ?? String(id);

/** [[DD-]HH:]MM:SS, hours always with `hours`. */
export function duration(seconds: number, hours: boolean): string {
  const whole = Math.floor(seconds);
  const day = Math.floor(whole / 86400);
  const clock = `${two((whole / 60) % 60)}:${two(whole % 60)}`;
  if (day > 0) return `${day}-${two((whole / 3600) % 24)}:${clock}`;
  return hours || whole >= 3600 ? `${two(whole / 3600)}:${clock}` : clock;
}

function startTime(process: ProcessFacts, machine: Machine): string {
  const started = new Date(process.startedAt);
  const today = new Date(machine.now);
  if (started.toDateString() === today.toDateString()) return `${two(started.getHours())}:${two(started.getMinutes())}`;
  if (started.getFullYear() === today.getFullYear()) return `${months[started.getMonth()]}${two(started.getDate())}`;
  return String(started.getFullYear());
}

function longStart(process: ProcessFacts): string {
  const d = new Date(process.startedAt);
  return `${days[d.getDay()]} ${months[d.getMonth()]} ${String(d.getDate()).padStart(2)} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())} ${d.getFullYear()}`;
}

/** Unix 98 terminals have majors 136 to 143. */
function terminal(process: ProcessFacts): string {
  if (process.tty === 0) return "?";
  const major = (process.tty >> 8) & 0xfff;
  const minor = (process.tty & 0xff) | ((process.tty >> 12) & 0xfff00);
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  return major === 4 ? `tty${minor}` : "?";
}

function state(process: ProcessFacts): string {
  return `${process.state}${process.nice < 0 ? "<" : process.nice > 0 ? "N" : ""}${process.sessionLeader ? "s" : ""}${process.threads > 1 ? "l" : ""}${process.foreground && process.tty !== 0 ? "+" : ""}`;
}

const command = (process: ProcessFacts): string => (process.args.length > 0 ? process.args.join(" ") : `[${process.comm}]${process.state === "Z" ? " <defunct>" : ""}`);

const table: [names: string, Column][] = [
  ["pid tgid", { title: "PID", value: (p) => String(p.pid) }],
  ["ppid", { title: "PPID", value: (p) => String(p.ppid) }],
  ["pgid pgrp", { title: "PGID", value: (p) => String(p.pgid) }],
  ["sid sess session", { title: "SID", value: (p) => String(p.session) }],
  ["user euser uname", { title: "USER", value: (p, m) => user(p.uid, m.users) }],
  ["uid euid", { title: "UID", value: (p) => String(p.uid) }],
  ["group egroup", { title: "GROUP", value: (p, m) => user(p.gid, m.groups) }],
  ["gid egid", { title: "GID", value: (p) => String(p.gid) }],
  ["comm ucmd ucomm", { title: "COMMAND", value: (p) => p.comm + (p.state === "Z" ? " <defunct>" : "") }],
  ["cmd", { title: "CMD", value: command }],
  ["args command", { title: "COMMAND", value: command }],
  ["tty tt tname", { title: "TTY", value: terminal }],
  ["stat", { title: "STAT", value: state }],
  ["s state", { title: "S", value: (p) => p.state }],
  ["time cputime", { title: "TIME", value: (p) => duration(p.cpuSeconds, true) }],
  ["bsdtime", { title: "TIME", value: (p) => `${Math.floor(p.cpuSeconds / 60)}:${two(p.cpuSeconds % 60)}` }],
  ["etime", { title: "ELAPSED", value: (p, m) => duration(elapsed(p, m), false) }],
  ["etimes", { title: "ELAPSED", value: (p, m) => String(elapsed(p, m)) }],
  ["%cpu pcpu", { title: "%CPU", value: (p, m) => share(p, m).toFixed(1) }],
  ["c", { title: "C", value: (p, m) => String(Math.min(99, Math.floor(share(p, m)))) }],
  ["%mem pmem", { title: "%MEM", value: (p, m) => ((100 * p.rss) / m.memoryKiB).toFixed(1) }],
  ["vsz vsize", { title: "VSZ", value: (p) => String(p.vsz) }],
  ["rss rssize rsz", { title: "RSS", value: (p) => String(p.rss) }],
  ["start stime start_time", { title: "STIME", value: startTime }],
  ["bsdstart", { title: "START", value: startTime }],
  ["lstart", { title: "STARTED", value: longStart }],
  ["ni nice", { title: "NI", value: (p) => String(p.nice) }],
  ["pri", { title: "PRI", value: (p) => String(39 - p.priority) }],
  ["psr", { title: "PSR", value: (p) => String(p.processor) }],
  ["nlwp thcount", { title: "NLWP", value: (p) => String(p.threads) }],
];

export const columns: ReadonlyMap<string, Column> = new Map(table.flatMap(([names, column]) => names.split(" ").map((name) => [name, column] as const)));
