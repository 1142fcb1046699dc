import { bool } from "../../lib/flags.ts";
import { loadBundle } from "./bundle.ts";
import type { Command } from "./command.ts";
import { checkTerminal, creationFlags, makeContainer } from "./create.ts";
import { destroy } from "./delete.ts";
import { listenForReadiness } from "./notify.ts";
import { startContainer } from "./start.ts";

export const run: Command = {
  name: "run",
  resident: true,
  usage: "CONTAINER",
  about: "Create and start a container; unless detached, wait for its end and remove it",
  flags: [...creationFlags, { name: "detach", shorthand: "d", type: bool }, { name: "keep", type: bool }, { name: "no-subreaper", type: bool }],
  arguments: [1, 1],
  failurePrefix: "run failed",
  async run({ args, flags, ...invocation }) {
    const bundle = loadBundle(flags.string("bundle"));
    const detach = flags.bool("detach");
    const { store } = invocation;
    checkTerminal(bundle.spec.process?.terminal ?? false, { detach, consoleSocket: flags.string("console-socket") });
    const { record, made } = await makeContainer(args[0]!, bundle, { ...invocation, flags, wait: !detach });
    const notified = listenForReadiness(record, invocation);
    try {
      await startContainer(record, invocation);
    } catch (error) {
      notified.close();
      await destroy(record, invocation);
      throw error;
    }
    if (detach) {
      await notified.ready;
      return 0;
    }
    const code = await made.exited;
    notified.close();
    if (!flags.bool("keep")) await destroy(store.load(record.id), invocation);
    return code;
  },
};
