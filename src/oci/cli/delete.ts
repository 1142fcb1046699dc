import { setTimeout as sleep } from "node:timers/promises";
import { conflict, systemError } from "../../lib/errors.ts";
import { bool } from "../../lib/flags.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { processesIn, removeGroups, thaw } from "./cgroups.ts";
import type { Command, Invocation } from "./command.ts";
import { runHooks } from "./hooks.ts";
import { send } from "./kill.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord, ContainerStore } from "./store.ts";

export const deleteCommand: Command = {
  name: "delete",
  resident: true,
  usage: "CONTAINER",
  about: "Remove a stopped container",
  flags: [{ name: "force", shorthand: "f", type: bool }],
  arguments: [1, 1],
  async run({ args, flags, store, caller, warn }) {
    const id = args[0]!;
    const force = flags.bool("force");
    if (force && !store.exists(id)) return 0;
    const record = loadOrForget(id, { force, store });
    if (record === undefined) return 0;
    const status = statusOf(record, store);
    if (status !== "stopped" && status !== "created" && !force) throw conflict(`cannot delete container ${id} that is not stopped: ${status}`);
    await destroy(record, { store, caller, warn });
    return 0;
  },
};

/** A folder without a record is what a killed create left: `--force` removes it. */
function loadOrForget(id: string, { force, store }: { force: boolean; store: ContainerStore }): ContainerRecord | undefined {
  try {
    return store.load(id);
  } catch (error) {
    if (!force || (error as { code?: string }).code !== "not-found") throw error;
    store.remove(id);
    return undefined;
  }
}

/** Ends every process of the container, then removes its groups and what is remembered of it. */
export async function destroy(record: ContainerRecord, { store, caller, warn }: Pick<Invocation, "store" | "caller" | "warn">): Promise<void> {
  await endAll(record, store);
  await removeGroups(record.cgroups);
  store.remove(record.id);
  await runHooks("poststop", record, { caller, pid: 0, status: "stopped", warn });
}

async function endAll(record: ContainerRecord, store: ContainerStore): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    const alive = statusOf(record, store) !== "stopped";
    const pids = processesIn(record.cgroups);
    if (!alive && pids.length === 0) return;
    if (Date.now() > deadline) throw systemError(`container init still running: ${pids.length} processes do not end`);
    thaw(record.cgroups);
    if (alive) send(record.pid, SIGKILL);
    for (const pid of pids) send(pid, SIGKILL);
    await sleep(wait);
  }
}
