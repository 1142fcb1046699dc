import { existsSync, renameSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { conflict, invalidParameter, messageOf } from "../../lib/errors.ts";
import type { FlagSpec, FlagValues } from "../../lib/flags.ts";
import { bool, int, string } from "../../lib/flags.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { compile } from "../compile/compile.ts";
import { streamsOf } from "../criu/images.ts";
import type { Bundle } from "./bundle.ts";
import { loadBundle } from "./bundle.ts";
import { NotServed } from "./caller.ts";
import { isFrozen, processesIn } from "./cgroups.ts";
import type { Caller } from "./caller.ts";
import type { Command, Invocation } from "./command.ts";
import { endGroups } from "./delete.ts";
import { joinedNamespaces } from "./joined.ts";
import { rootlessOf, usableHost } from "./rootless.ts";
import { moveNetDevices } from "./net-devices.ts";
import { notifySocketOf, withNotifySocket } from "./notify.ts";
import type { Made } from "./oneshot.ts";
import { runCreate } from "./oneshot.ts";
import { path } from "./paths.ts";
import type { Plan } from "../plan/types.ts";
import { send } from "./kill.ts";
import { enterManager, inNewUnit, planUnit, stopUnit } from "./scope.ts";
import { startTimeOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

/** Flags of create and run. */
export const creationFlags: FlagSpec[] = [
  { name: "bundle", shorthand: "b", type: path, default: "." },
  { name: "console-socket", type: string },
  { name: "pidfd-socket", type: string },
  { name: "pid-file", type: path },
  { name: "no-pivot", type: bool },
  { name: "no-new-keyring", type: bool },
  { name: "preserve-fds", type: int },
];

/** SECCOMP_FILTER_FLAG_NEW_LISTENER, which gantry-shim adds. */
const newListenerFlag = 8;

export const create: Command = {
  name: "create",
  resident: true,
  usage: "CONTAINER",
  about: "Make a container from a bundle; its program waits for start",
  flags: creationFlags,
  arguments: [1, 1],
  failurePrefix: "create failed",
  async run({ args, flags, ...invocation }) {
    const bundle = loadBundle(flags.string("bundle"));
    checkTerminal(bundle.spec.process?.terminal ?? false, { detach: true, consoleSocket: flags.string("console-socket") });
    await makeContainer(args[0]!, bundle, { ...invocation, flags, wait: false });
    return 0;
  },
};

export function checkTerminal(terminal: boolean, { detach, consoleSocket }: { detach: boolean; consoleSocket: string }): void {
  if (terminal && detach && consoleSocket === "") throw invalidParameter("cannot allocate tty if runc will detach without setting console socket: process.terminal needs --console-socket");
  if (consoleSocket !== "" && !(terminal && detach)) throw invalidParameter("cannot use console socket if runc will not detach or allocate tty: --console-socket is for a detached process with a terminal");
}

interface Creation extends Pick<Invocation, "flags" | "store" | "caller" | "systemdCgroup" | "warn" | "debug"> {
  /** gantry-shim stays with the container. */
  wait: boolean;
}

/** Makes the container and its record. After a failure nothing of either is left. */
export async function makeContainer(id: string, { path: bundle, spec: given }: Bundle, { flags, store, caller, systemdCgroup, warn, debug, wait }: Creation): Promise<{ record: ContainerRecord; made: Made }> {
  const listening = listenFds(caller);
  const preserveFds = listening + countPreserved(flags, caller, listening);
  const planned = systemdCgroup ? await planUnit(given, id, caller) : undefined;
  const unit = planned?.recorded;
  if (unit) await enterManager(unit, caller);
  const spec = withNotifySocket(withListenFds(planned?.spec ?? given, listening), notifySocketOf(caller), store.folder(id));
  const noNewKeyring = flags.bool("no-new-keyring");
  const plan = compile(spec, { id, host: usableHost(caller.proc, spec, id), ...rootlessOf(), bundle, noPivot: flags.bool("no-pivot"), noNewKeyring, outerHooks: true, ...joinedNamespaces(spec), warn });
  const cgroups = plan.teardown.flatMap((op) => (op.op === "cgroupRemove" ? [op.path] : []));
  checkRoot(plan);
  store.reserve(id, { notify: notifySocketOf(caller) !== undefined });
  checkGroups(cgroups, () => store.remove(id));
  store.announce(id, cgroups);
  debug(`plan of ${plan.host.length + plan.parent.length + plan.child.length} steps, cgroups ${cgroups.join(" ")}`);
  if (plan.exec.seccomp) debug(`seccomp filter flags: ${plan.exec.seccomp.flags | (plan.exec.seccomp.listenerPath === undefined ? 0 : newListenerFlag)}`);
  try {
    const make = (): Promise<Made> => runCreate(plan, store.folder(id), { caller, consoleSocket: flags.string("console-socket"), pidfdSocket: flags.string("pidfd-socket"), preserveFds, wait });
    const made = await (planned ? inNewUnit(planned, id, make) : make());
    debug(`container ${id} is made, its init is process ${made.pid}`);
    let record: ContainerRecord = { id, bundle, pid: made.pid, startTime: startTimeOf(made.pid), created: new Date().toISOString(), owner: userInfo().username, spec, cgroups, noNewKeyring, descriptors: streamsOf(`/proc/${made.pid}`), ...(unit && { unit }) };
    store.save(record);
    await keepOrKill(record, cgroups, async () => {
      if (planned?.later) store.save((record = await (await import("./update.ts")).applyLimits(record, planned.later)));
      await moveNetDevices(spec, made.pid);
      writePidFile(flags.string("pid-file"), made.pid);
    });
    return { record, made };
  } catch (error) {
    await endGroups(cgroups);
    if (unit) await stopUnit(unit).catch((failure: unknown) => warn(messageOf(failure)));
    store.remove(id);
    throw error;
  }
}

export function checkRoot({ child }: Plan): void {
  const root = child.find((op) => op.op === "rootBind");
  if (root === undefined) return;
  let info;
  try {
    info = statSync(root.source);
  } catch (error) {
    throw invalidParameter(`root.path: invalid rootfs: ${messageOf(error)}`, error);
  }
  if (!info.isDirectory()) throw invalidParameter(`root.path: invalid rootfs: ${root.source} is not a directory`);
}

/** What is left to do when init is there: after a failure it goes. */
async function keepOrKill(record: ContainerRecord, cgroups: string[], finish: () => Promise<void>): Promise<void> {
  try {
    await finish();
  } catch (error) {
    for (const pid of new Set([record.pid, ...processesIn(cgroups)])) send(pid, SIGKILL);
    throw error;
  }
}

/** A group that is in use by others would share its limits with them, and lose them all with its container. */
export function checkGroups(cgroups: readonly string[], undo: () => void): void {
  const found = processesIn(cgroups);
  if (found.length === 0 && !isFrozen(cgroups)) return;
  undo();
  if (found.length > 0) throw conflict(`container's cgroup is not empty: ${found.length} process(es) found in ${cgroups.filter((path) => processesIn([path]).length > 0).join(", ")}`);
  throw conflict(`container's cgroup unexpectedly frozen: ${cgroups.filter((path) => isFrozen([path])).join(", ")}`);
}

/** sd_listen_fds(3): sockets that systemd opened for the service. */
function listenFds({ env = {} }: Caller): number {
  const count = Number(env["LISTEN_FDS"] ?? 0);
  return Number(env["LISTEN_PID"]) === process.pid && Number.isInteger(count) && count > 0 ? count : 0;
}

function withListenFds(spec: OciSpec, count: number): OciSpec {
  if (count === 0 || spec.process === undefined) return spec;
  return { ...spec, process: { ...spec.process, env: [...(spec.process.env ?? []), `LISTEN_FDS=${count}`, "LISTEN_PID=1"] } };
}

/** The number of --preserve-fds; they come after `before` others. */
export function countPreserved(flags: FlagValues, caller: Caller, before = 0): number {
  const count = flags.int("preserve-fds");
  if (count < 0 || count + before > 250) throw invalidParameter(`--preserve-fds ${count}: not a number from 0 to 250`);
  if (count + before > 0 && !caller.handsOnFds) throw new NotServed("file descriptors are handed on");
  for (let fd = 3 + before; fd < 3 + before + count; fd++) {
    if (!existsSync(`/proc/self/fd/${fd}`)) throw invalidParameter(`unable to stat preserved-fd ${fd - before - 3} (of ${count}): fd ${fd} is not open`);
  }
  return count;
}

/** Whoever watches the file never reads half a number. */
export function writePidFile(path: string, pid: number): void {
  if (path === "") return;
  writeFileSync(`${path}.new`, String(pid), { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
