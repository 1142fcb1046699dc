import { conflict } from "../../lib/errors.ts";
import type { Command, Invocation } from "./command.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { runHooks } from "./hooks.ts";
import { send } from "./kill.ts";
import { listenForReadiness } from "./notify.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

export const start: Command = {
  name: "start",
  resident: true,
  usage: "CONTAINER",
  about: "Let a created container run its program",
  flags: [],
  arguments: [1, 1],
  async run({ args, ...invocation }) {
    const record = invocation.store.load(args[0]!);
    const notified = listenForReadiness(record, invocation);
    try {
      await startContainer(record, invocation);
    } catch (error) {
      notified.close();
      throw error;
    }
    await notified.ready;
    return 0;
  },
};

export async function startContainer(record: ContainerRecord, { store, caller, warn }: Pick<Invocation, "store" | "caller" | "warn">): Promise<void> {
  const status = statusOf(record, store);
  if (status === "stopped") throw conflict("cannot start a container that has stopped");
  if (status !== "created") throw conflict(`cannot start an already ${status} container`);
  store.release(record.id);
  try {
    await runHooks("poststart", record, { caller, pid: record.pid, status: "running", warn });
  } catch (error) {
    // runtime-spec, "Lifecycle": the container is stopped.
    send(record.pid, SIGKILL);
    throw error;
  }
}
