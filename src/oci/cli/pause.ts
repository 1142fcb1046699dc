import { conflict } from "../../lib/errors.ts";
import { setFrozen } from "./cgroups.ts";
import type { Command } from "./command.ts";
import { statusOf } from "./status.ts";

export const pause: Command = {
  name: "pause",
  resident: true,
  usage: "CONTAINER",
  about: "Freeze every process of a container",
  flags: [],
  arguments: [1, 1],
  async run({ args, store }) {
    const record = store.load(args[0]!);
    const status = statusOf(record, store);
    if (status !== "running" && status !== "created") throw conflict(`container not running: it is ${status}`);
    await setFrozen(record.cgroups, true);
    return 0;
  },
};

export const resume: Command = {
  name: "resume",
  resident: true,
  usage: "CONTAINER",
  about: "Let the processes of a paused container go on",
  flags: [],
  arguments: [1, 1],
  async run({ args, store }) {
    const record = store.load(args[0]!);
    if (statusOf(record, store) !== "paused") throw conflict("container not paused");
    await setFrozen(record.cgroups, false);
    return 0;
  },
};
