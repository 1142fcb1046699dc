import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { conflict, invalidParameter, notFound } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { bool, int, list, string } from "../../lib/flags.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import { compileExec } from "../compile/compile.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import { detectLayout } from "../cgroups/layout.ts";
import { detectHost, textOf } from "../host.ts";
import { parseProcess } from "../validate/config.ts";
import type { Caller } from "./caller.ts";
import { groupsOf } from "./cgroups.ts";
import type { Command } from "./command.ts";
import { checkTerminal, countPreserved, writePidFile } from "./create.ts";
import { runExec } from "./oneshot.ts";
import { path } from "./paths.ts";
import { enterManager } from "./scope.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

export const exec: Command = {
  name: "exec",
  argumentsEndFlags: true,
  resident: true,
  usage: "CONTAINER PROGRAM [ARGUMENTS]",
  about: "Run a further process in a running container",
  flags: [
    { name: "console-socket", type: string },
    { name: "pidfd-socket", type: string },
    { name: "cwd", type: string },
    { name: "env", shorthand: "e", type: list },
    { name: "tty", shorthand: "t", type: bool },
    { name: "user", shorthand: "u", type: string },
    { name: "additional-gids", shorthand: "g", type: list },
    { name: "process", shorthand: "p", type: path },
    { name: "detach", shorthand: "d", type: bool },
    { name: "pid-file", type: path },
    { name: "process-label", type: string },
    { name: "apparmor", type: string },
    { name: "no-new-privs", type: bool },
    { name: "cap", shorthand: "c", type: list },
    { name: "preserve-fds", type: int },
    { name: "cgroup", type: list },
    { name: "ignore-paused", type: bool },
  ],
  arguments: [1, Infinity],
  /** Tells a failed exec from a program that ends with 1; as runc has it. */
  failureCode: 255,
  failurePrefix: "exec failed",
  async run({ args, flags, store, caller, warn, debug }) {
    const preserveFds = countPreserved(flags, caller);
    const record = store.load(args[0]!);
    const status = statusOf(record, store);
    if (status === "stopped") throw conflict("cannot exec in a stopped container");
    if (status === "paused" && !flags.bool("ignore-paused")) throw conflict("cannot exec in a paused container (use --ignore-paused to override)");
    const process = processOf(record, args.slice(1), flags);
    const detach = flags.bool("detach");
    const consoleSocket = flags.string("console-socket");
    checkTerminal(process.terminal ?? false, { detach, consoleSocket });
    const plan = compileExec(process, record.spec, { id: record.id, host: detectHost(caller.proc), bundle: record.bundle, initPid: record.pid, noNewKeyring: record.noNewKeyring, warn });
    const cgroups = groupsToJoin(record, flags.list("cgroup"), caller);
    debug(`exec in ${record.id}: cgroups ${cgroups.join(" ")}`);
    if (record.unit) await enterManager(record.unit, caller);
    const made = await runExec({ ...plan, cgroups }, record.pid, { caller, consoleSocket, pidfdSocket: flags.string("pidfd-socket"), preserveFds, wait: !detach, ...(process.consoleSize && { size: process.consoleSize }) });
    writePidFile(flags.string("pid-file"), made.pid);
    return detach ? 0 : made.exited;
  },
};

/**
 * The container's groups, or some below them: PATH for all of them, CONTROLLER[,CONTROLLER]:PATH on cgroup v1. A v2 group
 * that has handed out controllers takes no processes any more: then it is init's own.
 */
function groupsToJoin({ cgroups, pid }: ContainerRecord, asked: string[], caller: Caller): string[] {
  const groups = groupsOf(cgroups, detectLayout(caller.proc));
  if (asked.length === 0) return groups.length === 1 && groups[0]!.hierarchy.version === 2 ? [ownGroupOf(pid, groups[0]!)] : cgroups;
  const paths = new Map(cgroups.map((path) => [path, path]));
  const seen = new Set<string>();
  for (const text of asked) {
    const colon = text.indexOf(":");
    if (colon === -1 && asked.length > 1) throw invalidParameter(`invalid --cgroup argument: ${text} (missing <controller>: prefix)`);
    if (colon === -1) for (const path of cgroups) paths.set(path, subgroup(path, text, pid));
    else for (const controller of text.slice(0, colon).split(",")) {
      if (controller === "") throw invalidParameter(`invalid --cgroup argument: ${text} (empty <controller> prefix)`);
      if (seen.has(controller)) throw invalidParameter(`invalid --cgroup argument(s): controller ${controller} specified multiple times`);
      seen.add(controller);
      const group = groups.find(({ hierarchy }) => hierarchy.controllers.includes(controller));
      if (group === undefined) throw invalidParameter(`unknown controller ${controller} in --cgroup ${text}`);
      paths.set(group.path, subgroup(group.path, text.slice(colon + 1), pid));
    }
  }
  return [...paths.values()];
}

function subgroup(group: string, name: string, pid: number): string {
  const path = join(group, name).replace(/\/$/, "");
  if (path !== group && !path.startsWith(`${group}/`)) throw invalidParameter(`bad sub cgroup path: ${name}`);
  if (!existsSync(path)) throw notFound(`error adding pid to cgroups of process ${pid}: ${path}: no such file or directory`);
  return path;
}

function ownGroupOf(pid: number, { path, hierarchy }: CgroupGroup): string {
  if (textOf(`${path}/cgroup.subtree_control`).trim() === "") return path;
  const own = /^0::(.*)$/m.exec(textOf(`/proc/${pid}/cgroup`))?.[1];
  return own === undefined ? path : join(hierarchy.mountpoint, own);
}

/** The container's own process with other arguments and what the flags say; or the one in --process. */
function processOf({ spec }: ContainerRecord, args: string[], flags: FlagValues): OciProcess {
  if (flags.string("process") !== "") return parseProcess(readFileSync(flags.string("process"), "utf8"));
  if (args.length === 0) throw invalidParameter("process args cannot be empty");
  if (spec.process === undefined) throw invalidParameter("process is missing in the container's configuration");
  const { consoleSize: _, ...own } = spec.process;
  const process: OciProcess = { ...own, args, terminal: flags.bool("tty"), env: [...(own.env ?? []), ...flags.list("env")], user: userOf(own.user, flags) };
  if (flags.string("cwd") !== "") process.cwd = flags.string("cwd");
  if (flags.changed("no-new-privs")) process.noNewPrivileges = flags.bool("no-new-privs");
  if (flags.string("apparmor") !== "") process.apparmorProfile = flags.string("apparmor");
  if (flags.string("process-label") !== "") process.selinuxLabel = flags.string("process-label");
  return addCapabilities(process, flags.list("cap"));
}

/** UID[:GID] */
function userOf(own: OciProcess["user"], flags: FlagValues): OciProcess["user"] {
  const additional = flags.list("additional-gids").map((text) => id(text, "--additional-gids"));
  const user = { ...own, ...(additional.length > 0 && { additionalGids: [...(own.additionalGids ?? []), ...additional] }) };
  const text = flags.string("user");
  if (text === "") return user;
  const [uid = "", gid, ...more] = text.split(":");
  if (more.length > 0) throw invalidParameter(`--user ${text}: it is UID or UID:GID`);
  return { ...user, uid: id(uid, "--user"), ...(gid !== undefined && { gid: id(gid, "--user") }) };
}

function id(text: string, flag: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0x7fff_ffff) throw invalidParameter(`${flag} ${text}: not an id from 0 to 2147483647`);
  return Number(text);
}

function addCapabilities(process: OciProcess, names: string[]): OciProcess {
  if (names.length === 0) return process;
  const add = (set: string[] = []): string[] => [...new Set([...set, ...names])];
  const { bounding, effective, permitted, inheritable = [], ambient = [] } = process.capabilities ?? {};
  const raised = names.filter((name) => inheritable.includes(name));
  return { ...process, capabilities: { bounding: add(bounding), effective: add(effective), permitted: add(permitted), inheritable, ambient: [...new Set([...ambient, ...raised])] } };
}
