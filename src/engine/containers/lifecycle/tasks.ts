/** Puts the lifecycle together: its context, the execs, and what removal and update ask of it. */
import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../../lib/errors.ts";
import type { ContainerTasks } from "../context.ts";
import { ExecService } from "../exec/exec.ts";
import type { LifecycleContext } from "./context.ts";
import { LiveContainer } from "./live.ts";
import { changeLog } from "./change-log.ts";
import { afterLastLines } from "./log-forwarding.ts";
import { cancelRestart } from "./restart-timer.ts";
import { lastRun, taskOf } from "./state.ts";
import { explainStart } from "./explain.ts";
import { launch } from "./start.ts";
import { killAndWait } from "./stop.ts";

/** What the rest of the engine gives; the lifecycle makes the rest of its context itself. */
export type LifecycleOptions = Omit<LifecycleContext, "live" | "logPath" | "relaunch"> & {
  /** <data-root>/containers: a folder for each container, with its log and the files bound into it. */
  containersRoot: string;
  /** Takes a folder away at once; it is deleted later. */
  discard(path: string): void;
};

export interface Lifecycle {
  context: LifecycleContext;
  execs: ExecService;
  tasks: ContainerTasks;
  /** Removes folders of containers that are not there any more. */
  sweep(): Promise<void>;
}

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { containersRoot, discard, ...given } = options;
  mkdirSync(containersRoot, { recursive: true, mode: 0o710 });
  const lives = new Map<string, LiveContainer>();
  const context: LifecycleContext = {
    ...given,
    live(id) {
      let live = lives.get(id);
      if (!live) lives.set(id, (live = new LiveContainer()));
      return live;
    },
    relaunch: (record) => launch(context, record),
    logPath: ({ id }) => join(containersRoot, id, `${id}-json.log`),
  };
  const execs = new ExecService(context);
  const removeFolder = (name: string): void => {
    try {
      discard(join(containersRoot, name));
    } catch (error) {
      given.warn(`removing the folder of container ${name}: ${messageOf(error)}`);
    }
  };
  const tasks: ContainerTasks = {
    kill: (record) => killAndWait(context, record),
    update: (record, resources) => taskOf(context, record).update(resources),
    changeLog: (record, changed) => changeLog(context, record, changed),
    async forget(record) {
      cancelRestart(context, record.id);
      const { exitCode, error } = lastRun(record);
      context.live(record.id).tellRemoval({ exitCode, error });
      lives.delete(record.id);
      afterLastLines(context, record, () => removeFolder(record.id));
    },
    released: async (record) => context.live(record.id).released,
    ending: (id) => context.live(id).ending,
    execIds: (id) => execs.idsOf(id),
    explain: (record, rootfs) => explainStart(context, record, rootfs),
  };
  return {
    context,
    execs,
    tasks,
    async sweep() {
      for (const name of await readdir(containersRoot)) if (/^[0-9a-f]{64}$/.test(name) && !given.store.get(name) && !given.forwarder.drained(name)) removeFolder(name);
    },
  };
}
