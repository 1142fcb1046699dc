/** `events`: statistics at intervals, and a line for each time the kernel's OOM killer was at work. */
import { setTimeout as sleep } from "node:timers/promises";
import { conflict, invalidParameter } from "../../lib/errors.ts";
import { bool, duration } from "../../lib/flags.ts";
import { detectLayout } from "../cgroups/layout.ts";
import { textOf } from "../host.ts";
import { groupsOf } from "./cgroups.ts";
import type { Command } from "./command.ts";
import { statisticsOf } from "./statistics.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

/** How often it is looked whether a container has ended or was short of memory, in milliseconds. */
const watchInterval = 50;

export const events: Command = {
  name: "events",
  usage: "CONTAINER",
  about: "Print what a container uses, and when it runs out of memory",
  flags: [
    { name: "interval", type: duration, default: "5s" },
    { name: "stats", type: bool },
  ],
  arguments: [1, 1],
  async run({ args, flags, store, print }) {
    const record = store.load(args[0]!);
    const interval = flags.duration("interval") / 1e6;
    if (interval <= 0) throw invalidParameter("duration interval must be greater than 0");
    if (statusOf(record, store) === "stopped") throw conflict(`container with id ${record.id} is not running`);
    const say = (type: string, data?: unknown): void => print(`${JSON.stringify({ type, id: record.id, ...(data !== undefined && { data }) })}\n`);
    const stats = async (): Promise<void> => say("stats", await statisticsOf(groupsOf(record.cgroups, detectLayout()), record.pid));
    if (flags.bool("stats")) {
      await stats();
      return 0;
    }
    let kills = oomKills(record);
    let due = performance.now() + interval;
    while (store.exists(record.id) && statusOf(record, store) !== "stopped") {
      await sleep(Math.max(0, Math.min(watchInterval, due - performance.now())));
      const now = oomKills(record);
      for (; kills < now; kills++) say("oom");
      if (performance.now() < due) continue;
      await stats();
      due = performance.now() + interval;
    }
    // Whatever ended the container may have been the OOM killer.
    for (const now = oomKills(record); kills < now; kills++) say("oom");
    return 0;
  },
};

/** How many processes the OOM killer has ended (v1: Linux 4.13, memory.oom_control; v2: memory.events). */
function oomKills({ cgroups }: ContainerRecord): number {
  for (const path of cgroups) {
    const count = /^oom_kill (\d+)$/m.exec(textOf(`${path}/memory.oom_control`) || textOf(`${path}/memory.events`))?.[1];
    if (count !== undefined) return Number(count);
  }
  return 0;
}
