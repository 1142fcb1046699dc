import { conflict } from "../../lib/errors.ts";
import type { Command } from "./command.ts";
import { runHooks } from "./hooks.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord, ContainerStore } from "./store.ts";

export const start: Command = {
  name: "start",
  usage: "CONTAINER",
  about: "Let a created container run its program",
  flags: [],
  arguments: [1, 1],
  async run({ args, store, warn }) {
    await startContainer(store.load(args[0]!), { store, warn });
    return 0;
  },
};

export async function startContainer(record: ContainerRecord, { store, warn }: { store: ContainerStore; warn: (message: string) => void }): Promise<void> {
  const status = statusOf(record, store);
  if (status === "stopped") throw conflict("cannot start a container that has stopped");
  if (status !== "created") throw conflict(`cannot start an already ${status} container`);
  store.release(record.id);
  await runHooks("poststart", record, { pid: record.pid, status: "running", onFailure: warn });
}
