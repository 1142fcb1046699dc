/**
 * A task's run folder, <exec root>/<id>/:
 *
 *   shim.sock   where its shim listens
 *   task        "cgroup PATH", "join PATH", "pid N STARTTIME" lines: what is to be cleaned up when the shim was killed
 *   exit        "CODE NANOSECONDS OOM": how the task ended
 *   spec.json   what execs after a restart of the daemon need of the configuration, and of which other runtime the task is
 */
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ExitStatus, RuntimeProgram } from "../../core/runtime.ts";
import { invalidParameter, systemError } from "../../lib/errors.ts";
import type { OciSeccomp, OciSpec } from "../../lib/oci-spec.ts";

export interface TaskFolder {
  path: string;
  socket: string;
}

export function taskFolder(execRoot: string, id: string): TaskFolder {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.+-]*$/.test(id)) throw invalidParameter(`invalid container id ${JSON.stringify(id)}`);
  const path = join(execRoot, id);
  return { path, socket: join(path, "shim.sock") };
}

export async function listTaskFolders(execRoot: string): Promise<string[]> {
  const entries = await readdir(execRoot, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

export function writeSpec(folder: TaskFolder, spec: OciSpec, runtime?: RuntimeProgram): void {
  mkdirSync(folder.path, { recursive: true, mode: 0o700 });
  const { namespaces, cgroupsPath, personality, seccomp, maskedPaths, devices } = spec.linux ?? {};
  const text = JSON.stringify({ ociVersion: spec.ociVersion, runtime, mounts: spec.mounts, linux: { namespaces, cgroupsPath, personality, maskedPaths, devices, seccomp: seccomp && seccompJson(seccomp) } });
  writeFileSync(join(folder.path, "spec.json"), text, { mode: 0o600 });
}

const seccompTexts = new WeakMap<OciSeccomp, string>();

/** Of a profile, which many containers share: a JSON document in a string. */
function seccompJson(seccomp: OciSeccomp): string {
  let text = seccompTexts.get(seccomp);
  if (text === undefined) seccompTexts.set(seccomp, (text = JSON.stringify(seccomp, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value))));
  return text;
}

/** Of which runtime the task is; undefined: of our own. */
export function readRuntime(folder: TaskFolder): RuntimeProgram | undefined {
  const text = readText(join(folder.path, "spec.json"));
  return text === undefined ? undefined : (JSON.parse(text) as { runtime?: RuntimeProgram }).runtime;
}

export function readSpec(folder: TaskFolder): OciSpec | undefined {
  const text = readText(join(folder.path, "spec.json"));
  if (text === undefined) return undefined;
  const { linux, ...spec } = JSON.parse(text) as OciSpec & { linux: { seccomp?: string } };
  return { ...spec, linux: { ...linux, ...(linux.seccomp !== undefined && { seccomp: JSON.parse(linux.seccomp) as OciSeccomp }) } };
}

export function readExitRecord(folder: TaskFolder): ExitStatus | undefined {
  const match = /^(\d+) (\d+) ([01])\n$/.exec(readText(join(folder.path, "exit")) ?? "");
  return match ? { code: Number(match[1]), at: BigInt(match[2]!), oomKilled: match[3] === "1" } : undefined;
}

interface TaskFile {
  cgroups: string[];
  joined: string[];
  pid: { pid: number; startTime: string } | undefined;
}

function readTaskFile(folder: TaskFolder): TaskFile {
  const file: TaskFile = { cgroups: [], joined: [], pid: undefined };
  for (const line of (readText(join(folder.path, "task")) ?? "").split("\n")) {
    const [key, ...rest] = line.split(" ");
    if (key === "cgroup") file.cgroups.push(rest.join(" "));
    if (key === "join") file.joined.push(rest.join(" "));
    if (key === "pid") file.pid = { pid: Number(rest[0]), startTime: rest[1] ?? "" };
  }
  return file;
}

/** Processes of the group and of the groups below it. */
export async function processesOf(cgroup: string): Promise<number[]> {
  const pids = (readText(join(cgroup, "cgroup.procs")) ?? "").split("\n").filter(Boolean).map(Number);
  const entries = await readdir(cgroup, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) pids.push(...(await processesOf(join(cgroup, entry.name))));
  return pids;
}

/** A pid that was used again has another start time (field 22 of proc_pid_stat(5)). */
function isSameProcess({ pid, startTime }: { pid: number; startTime: string }): boolean {
  const stat = readText(`/proc/${pid}/stat`);
  return stat !== undefined && stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] === startTime;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
}

/** Frozen processes die only when thawed. */
function thaw(cgroup: string): void {
  for (const [file, text] of [["freezer.state", "THAWED"], ["cgroup.freeze", "0"]] as const) {
    try {
      writeFileSync(join(cgroup, file), text, { flag: "r+" });
    } catch {
      // The hierarchy has no such file.
    }
  }
}

async function killAll({ cgroups, joined, pid }: TaskFile): Promise<void> {
  const groups = [...new Set([...cgroups, ...joined])];
  if (pid && isSameProcess(pid)) kill(pid.pid);
  for (let tries = 0; tries < 500; tries++) {
    // Each time: a pause may have been under way.
    groups.forEach(thaw);
    const pids = new Set((await Promise.all(cgroups.map(processesOf))).flat());
    if (pids.size === 0) return;
    pids.forEach(kill);
    await sleep(tries < 10 ? 1 : 10);
  }
}

async function removeCgroup(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      if ((code !== "EBUSY" && code !== "ENOTEMPTY") || tries === 100) throw systemError(`removing cgroup ${path}: ${code}`, error);
    }
    const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
    if (tries > 0) await sleep(5);
  }
}

/** Ends and removes everything that the task file names, then the folder. Goes on after errors and reports them all. `ended`: everything has ended. */
export async function purgeFolder(folder: TaskFolder, ended?: () => Promise<void> | undefined): Promise<void> {
  const task = readTaskFile(folder);
  const errors: unknown[] = [];
  await killAll(task).catch((error: unknown) => errors.push(error));
  await ended?.();
  for (const cgroup of task.cgroups) await removeCgroup(cgroup).catch((error: unknown) => errors.push(error));
  rmSync(folder.path, { recursive: true, force: true });
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw systemError(errors.map((error) => (error instanceof Error ? error.message : String(error))).join("; "), errors);
}
