import { conflict, notFound } from "../../lib/errors.ts";
import { bool } from "../../lib/flags.ts";
import { SIGKILL, parseSignal } from "../../lib/signals.ts";
import { processesIn } from "./cgroups.ts";
import type { Command } from "./command.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

export const kill: Command = {
  name: "kill",
  resident: true,
  usage: "CONTAINER [SIGNAL]",
  about: "Send a signal, SIGTERM by default, to a container's init process",
  flags: [{ name: "all", shorthand: "a", type: bool }],
  arguments: [1, 2],
  run({ args, flags, store }) {
    const record = store.load(args[0]!);
    // 0 asks whether there is a process.
    const signal = args[1] === "0" ? 0 : parseSignal(args[1] ?? "SIGTERM");
    const all = flags.bool("all") || (signal === SIGKILL && sharesPids(record)) ? processesIn(record.cgroups) : [];
    for (const pid of all) send(pid, signal);
    if (flags.bool("all") || all.length > 0) return 0;
    if (statusOf(record, store) === "stopped") throw conflict("container not running");
    if (!send(record.pid, signal)) throw notFound("container not running");
    return 0;
  },
};

/** Without a pid namespace of its own, ending init leaves the container's other processes. */
export function sharesPids({ spec }: ContainerRecord): boolean {
  const namespace = spec.linux?.namespaces?.find(({ type }) => type === "pid");
  return namespace === undefined || Boolean(namespace.path);
}

/** False when there is no such process any more. */
export function send(pid: number, signal: number): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}
