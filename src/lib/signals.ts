/** Linux signals (asm-generic, as on x86-64 and arm64) by name and number. */
import { invalidParameter } from "./errors.ts";

const names = [
  "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
  "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const byName = new Map<string, number>(names.map((name, number) => [name, number]));
byName.delete("");
byName.set("IOT", 6).set("CLD", 17).set("POLL", 29);

export const SIGRTMIN = 34;
export const SIGRTMAX = 64;
export const SIGKILL = 9;

/** The number of a signal given as "KILL", "SIGKILL", "sigkill", "9", "RTMIN+3". Throws invalid-parameter with Docker's words. */
export function parseSignal(text: string): number {
  if (/^[+-]?\d+$/.test(text)) {
    const number = Number(text);
    if (number === 0) throw invalidParameter(`invalid signal: ${text}`);
    if (number < 1 || number > SIGRTMAX) throw invalidParameter(`the linux daemon does not support signal ${number}`);
    return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const number = byName.get(name) ?? realTime(name);
  if (number === undefined) throw invalidParameter(`invalid signal: ${text}`);
  return number;
}

/** RTMIN, RTMIN+1 to +15, RTMAX-14 to -1, RTMAX: the names that Docker knows. */
function realTime(name: string): number | undefined {
  if (name === "RTMIN") return SIGRTMIN;
  if (name === "RTMAX") return SIGRTMAX;
  const match = /^RT(MIN\+|MAX-)(\d{1,2})$/.exec(name);
  if (!match) return undefined;
  const distance = Number(match[2]);
  if (match[1] === "MIN+") return distance >= 1 && distance <= 15 ? SIGRTMIN + distance : undefined;
  return distance >= 1 && distance <= 14 ? SIGRTMAX - distance : undefined;
}
