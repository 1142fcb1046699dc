import { existsSync, rmdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { conflict, messageOf, systemError } from "../../lib/errors.ts";
import { bool } from "../../lib/flags.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { processesIn, removeGroups, thaw } from "./cgroups.ts";
import type { Command, Invocation } from "./command.ts";
import { runHooks } from "./hooks.ts";
import { send } from "./kill.ts";
import { stopUnit } from "./scope.ts";
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
    const record = loadUnlessMissing(id, { force, store });
    if (record === undefined) {
      await endGroups(store.announced(id));
      await forget(id, store);
      return 0;
    }
    const status = statusOf(record, store);
    if (status !== "stopped" && status !== "created" && !force) throw conflict(`cannot delete container ${id} that is not stopped: ${status}`);
    await destroy(record, { store, caller, warn });
    return 0;
  },
};

/** A folder without a record is what a killed create left: `--force` removes it with what it had made. */
function loadUnlessMissing(id: string, { force, store }: { force: boolean; store: ContainerStore }): ContainerRecord | undefined {
  try {
    return store.load(id);
  } catch (error) {
    if (!force || (error as { code?: string }).code !== "not-found") throw error;
    return undefined;
  }
}

/** A restore that was killed leaves the root mounted, which must not be removed with the folder. */
export async function forget(id: string, store: ContainerStore): Promise<void> {
  const root = store.restoreRoot(id);
  if (existsSync(root)) {
    const { detach } = await import("../../sys/mounts.ts");
    while (await detach(root));
    rmdirSync(root);
  }
  store.remove(id);
}

/** Ends every process in the groups, and removes these. */
export async function endGroups(cgroups: readonly string[]): Promise<void> {
  await endAll(cgroups, () => undefined);
  await removeGroups(cgroups);
}

/** Ends every process of the container, then removes its groups and what is remembered of it. */
export async function destroy(record: ContainerRecord, { store, caller, warn }: Pick<Invocation, "store" | "caller" | "warn">): Promise<void> {
  await endAll(record.cgroups, () => (statusOf(record, store) === "stopped" ? undefined : record.pid));
  if (record.unit) await stopUnit(record.unit).catch((error: unknown) => warn(messageOf(error)));
  await removeGroups(record.cgroups);
  await forget(record.id, store);
  await runHooks("poststop", record, { caller, pid: 0, status: "stopped", warn });
}

/** `init`: its pid while it lives, also when it is in none of the groups. */
async function endAll(cgroups: readonly string[], init: () => number | undefined): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    const pid = init();
    const pids = processesIn(cgroups);
    if (pid === undefined && pids.length === 0) return;
    if (Date.now() > deadline) throw systemError(`container init still running: ${pids.length} processes do not end`);
    thaw(cgroups);
    if (pid !== undefined) send(pid, SIGKILL);
    for (const each of pids) send(each, SIGKILL);
    await sleep(wait);
  }
}
