import { readFileSync } from "node:fs";
import { conflict, invalidParameter, notImplemented } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { bool, int, list, string } from "../../lib/flags.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import { compileExec } from "../compile/compile.ts";
import { detectHost } from "../host.ts";
import { parseProcess } from "../validate/config.ts";
import type { Command } from "./command.ts";
import { writePidFile } from "./create.ts";
import { runExec } from "./oneshot.ts";
import { path } from "./paths.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

export const exec: Command = {
  name: "exec",
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
  async run({ args, flags, store, caller, warn }) {
    refuse(flags);
    const record = store.load(args[0]!);
    const status = statusOf(record, store);
    if (status === "stopped") throw conflict("cannot exec in a stopped container");
    if (status === "paused" && !flags.bool("ignore-paused")) throw conflict("cannot exec in a paused container (use --ignore-paused to override)");
    const process = processOf(record, args.slice(1), flags);
    const detach = flags.bool("detach");
    const consoleSocket = flags.string("console-socket");
    if (process.terminal && detach && consoleSocket === "") throw invalidParameter("a process with a terminal needs --console-socket when it is detached");
    if (consoleSocket !== "" && !(process.terminal && detach)) throw invalidParameter("--console-socket is for a detached process with a terminal");
    const plan = compileExec(process, record.spec, { id: record.id, host: detectHost(caller.proc), noNewKeyring: record.noNewKeyring, warn });
    const made = await runExec({ ...plan, cgroups: record.cgroups }, record.pid, { caller, consoleSocket, wait: !detach, ...(process.consoleSize && { size: process.consoleSize }) });
    writePidFile(flags.string("pid-file"), made.pid);
    return detach ? 0 : made.exited;
  },
};

function refuse(flags: FlagValues): void {
  if (flags.string("pidfd-socket") !== "") throw notImplemented("--pidfd-socket is not supported yet");
  if (flags.int("preserve-fds") !== 0) throw notImplemented("--preserve-fds is not supported yet");
  if (flags.list("cgroup").length > 0) throw notImplemented("--cgroup is not supported yet");
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
