/** Checkpoints of a container's processes: folders that a later start takes them from. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ContainerRecord } from "../../../core/container.ts";
import { GantryError, messageOf, systemError } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { persist } from "./persist.ts";
import { emit, hasTask, taskOf } from "./state.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const NAME_CHARACTERS = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

export interface CheckpointName {
  name: string;
  /** Where checkpoints are kept; "": with the container. */
  dir: string;
}

export interface CheckpointOptions extends CheckpointName {
  leaveRunning: boolean;
}

/** A checkpoint's files, of which the rest of a container is not part: its root file system and volumes stay where they are. */
export async function createCheckpoint(context: LifecycleContext, ref: string, { name, dir, leaveRunning }: CheckpointOptions): Promise<void> {
  const { id } = context.store.find(ref);
  const waiting = new AbortController();
  const exit = leaveRunning ? undefined : context.live(id).nextExit(waiting.signal);
  exit?.catch(() => {});
  try {
    await context.store.withContainer(id, () => save(context, ref, { name, dir, leaveRunning }));
    await exit;
  } finally {
    waiting.abort(new Error("no longer waited for"));
  }
}

/** The container's lock is held, which its exit will wait for. */
async function save(context: LifecycleContext, ref: string, { name, dir, leaveRunning }: CheckpointOptions): Promise<void> {
  const record = context.store.find(ref);
  if (!hasTask(record)) throw systemError(`Container ${ref} not running`);
  if (record.config.Tty) throw systemError("checkpoint not support on containers with tty");
  if (!NAME.test(name)) throw systemError(`Invalid checkpoint ID (${name}), only ${NAME_CHARACTERS} are allowed`);
  const folder = join(folderOf(context, record, dir), name);
  const unfinished = newFolder(folder, { name, ref });
  const live = context.live(record.id);
  const before = { stopping: live.stopping, stoppedByUser: record.stoppedByUser };
  // Its end is meant: no policy starts it again.
  if (!leaveRunning) {
    live.stopping = true;
    record.stoppedByUser = true;
  }
  try {
    await taskOf(context, record).checkpoint({ folder: unfinished, leaveRunning, givenNetwork: hasGivenNetwork(record) });
  } catch (error) {
    live.stopping = before.stopping;
    record.stoppedByUser = before.stoppedByUser;
    keepLog(unfinished);
    throw new GantryError("system", `Cannot checkpoint container ${ref}: ${messageOf(error)}`, { cause: error });
  }
  renameSync(unfinished, folder);
  persist(context, record);
  emit(context, record, "checkpoint");
}

/** Networks but the host's and none are joined in a namespace that the engine made. */
const hasGivenNetwork = ({ network }: ContainerRecord): boolean => network?.endpoints.some(({ networkName }) => networkName !== "none" && networkName !== "host") ?? false;

/** Where a checkpoint is written: beside its place, by a name that none has. What an earlier try left goes. */
function newFolder(folder: string, { name, ref }: { name: string; ref: string }): string {
  if (existsSync(folder)) throw systemError(`cannot checkpoint container ${ref}: checkpoint with name ${name} already exists for container ${ref}`);
  const unfinished = join(dirname(folder), `.${name}`);
  try {
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true, mode: 0o700 });
    return unfinished;
  } catch (error) {
    throw systemError(`cannot checkpoint container ${ref}: ${messageOf(error)}`, error);
  }
}

/** Of a checkpoint that failed, for who reads the error. */
function keepLog(folder: string): void {
  for (const name of readdirSync(folder)) if (!name.endsWith(".log")) rmSync(join(folder, name), { recursive: true, force: true });
}

export function listCheckpoints(context: LifecycleContext, ref: string, dir: string): string[] {
  const folder = folderOf(context, context.store.find(ref), dir);
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && NAME.test(entry.name)).map(({ name }) => name).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

export function deleteCheckpoint(context: LifecycleContext, ref: string, name: CheckpointName): void {
  rmSync(checkpointOf(context, context.store.find(ref), name), { recursive: true });
}

/** Of one that exists. */
export function checkpointOf(context: LifecycleContext, record: ContainerRecord, { name, dir }: CheckpointName): string {
  const folder = join(folderOf(context, record, dir), name);
  if (!NAME.test(name) || statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw systemError(`checkpoint ${name} does not exist for container ${record.name}`);
  return folder;
}

function folderOf(context: LifecycleContext, record: ContainerRecord, dir: string): string {
  if (dir === "") return join(dirname(context.logPath(record)), "checkpoints");
  if (!dir.startsWith("/")) throw systemError(`the folder of checkpoints ${JSON.stringify(dir)} is not an absolute path`);
  return join(dir, record.id, "checkpoints");
}
