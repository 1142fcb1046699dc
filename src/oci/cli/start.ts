import { conflict } from "../../lib/errors.ts";
import type { Command, Invocation } from "./command.ts";
import { runHooks } from "./hooks.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

export const start: Command = {
  name: "start",
  resident: true,
  usage: "CONTAINER",
  about: "Let a created container run its program",
  flags: [],
  arguments: [1, 1],
  async run({ args, store, caller, warn }) {
    await startContainer(store.load(args[0]!), { store, caller, warn });
    return 0;
  },
};

export async function startContainer(record: ContainerRecord, { store, caller, warn }: Pick<Invocation, "store" | "caller" | "warn">): Promise<void> {
  const status = statusOf(record, store);
  if (status === "stopped") throw conflict("cannot start a container that has stopped");
  if (status !== "created") throw conflict(`cannot start an already ${status} container`);
  store.release(record.id);
  await runHooks("poststart", record, { caller, pid: record.pid, status: "running", onFailure: warn });
}
