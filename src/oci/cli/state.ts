import type { Command } from "./command.ts";
import { stateOf } from "./status.ts";

export const state: Command = {
  name: "state",
  resident: true,
  usage: "CONTAINER",
  about: "Print a container's state as JSON",
  flags: [],
  arguments: [1, 1],
  run({ args, store, print }) {
    print(`${JSON.stringify(stateOf(store.load(args[0]!), store), undefined, 2)}\n`);
    return 0;
  },
};
