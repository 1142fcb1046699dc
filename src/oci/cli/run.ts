import { invalidParameter } from "../../lib/errors.ts";
import { bool } from "../../lib/flags.ts";
import { loadBundle } from "./bundle.ts";
import type { Command } from "./command.ts";
import { creationFlags, makeContainer } from "./create.ts";
import { destroy } from "./delete.ts";
import { startContainer } from "./start.ts";

export const run: Command = {
  name: "run",
  resident: true,
  usage: "CONTAINER",
  about: "Create and start a container; unless detached, wait for its end and remove it",
  flags: [...creationFlags, { name: "detach", shorthand: "d", type: bool }, { name: "keep", type: bool }, { name: "no-subreaper", type: bool }],
  arguments: [1, 1],
  async run({ args, flags, store, caller, warn }) {
    const bundle = loadBundle(flags.string("bundle"));
    const detach = flags.bool("detach");
    const hasSocket = flags.string("console-socket") !== "";
    const terminal = bundle.spec.process?.terminal ?? false;
    if (terminal && detach && !hasSocket) throw invalidParameter("a container with a terminal needs --console-socket when it is not run in the foreground");
    if (hasSocket && !(terminal && detach)) throw invalidParameter("--console-socket is for a detached container with a terminal");
    const { record, made } = await makeContainer(args[0]!, bundle, { flags, store, caller, warn, wait: !detach });
    try {
      await startContainer(record, { store, caller, warn });
    } catch (error) {
      await destroy(record, { store, caller, warn });
      throw error;
    }
    if (detach) return 0;
    const code = await made.exited;
    if (!flags.bool("keep")) await destroy(record, { store, caller, warn });
    return code;
  },
};
