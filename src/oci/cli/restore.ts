/** `restore`: a container from the files that `checkpoint` wrote, and from a bundle like its own. */
import { closeSync, mkdirSync, openSync, readlinkSync, realpathSync, rmdirSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { bool, string } from "../../lib/flags.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { bindOpen, detach } from "../../sys/mounts.ts";
import { Seqpacket, connectStream, socketPair } from "../../sys/seqpacket.ts";
import { compile } from "../compile/compile.ts";
import { converse, requireCriu, requireFeature } from "../criu/client.ts";
import { externalMounts, externalNamespaces, inheritedStreams, joinedByCriu, logHint, maskedPaths, maskSource, readDescriptors, streamsOf } from "../criu/images.ts";
import type { CriuOptions } from "../criu/message.ts";
import { request } from "../criu/message.ts";
import { makeMountpoints } from "../criu/mountpoints.ts";
import { detectHost, textOf } from "../host.ts";
import type { Plan } from "../plan/types.ts";
import type { Bundle } from "./bundle.ts";
import { loadBundle } from "./bundle.ts";
import type { Command, Invocation } from "./command.ts";
import { checkGroups, checkRoot, checkTerminal, writePidFile } from "./create.ts";
import { commonOptions, criuFlags, openFolders, requireRoot } from "./criu-flags.ts";
import { destroy, endGroups, forget } from "./delete.ts";
import { runHooks } from "./hooks.ts";
import { joinedNamespaces } from "./joined.ts";
import type { Restoration } from "./oneshot.ts";
import { runRestore } from "./oneshot.ts";
import { path } from "./paths.ts";
import { inNewUnit, planUnit, stopUnit } from "./scope.ts";
import { rootOf, startTimeOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

const logFile = "restore.log";

/** How long criu may take to undo what it has begun, in milliseconds. */
const undoTime = 5000;

export const restore: Command = {
  name: "restore",
  usage: "CONTAINER",
  about: "Make a container again from the files of a checkpoint; unless detached, wait for its end and remove it",
  flags: [
    ...criuFlags,
    { name: "bundle", shorthand: "b", type: path, default: "." },
    { name: "console-socket", type: string },
    { name: "pid-file", type: path },
    { name: "detach", shorthand: "d", type: bool },
    { name: "no-pivot", type: bool },
    { name: "no-subreaper", type: bool },
    { name: "lsm-profile", type: string },
    { name: "lsm-mount-context", type: string },
  ],
  arguments: [1, 1],
  async run({ args, flags, ...invocation }) {
    requireRoot();
    const bundle = loadBundle(flags.string("bundle"));
    const detach = flags.bool("detach");
    checkTerminal(bundle.spec.process?.terminal ?? false, { detach, consoleSocket: flags.string("console-socket") });
    const { record, exited } = await restoreContainer(args[0]!, bundle, { ...invocation, flags });
    const code = await exited;
    if (detach) return 0;
    await destroy(record, invocation);
    return code;
  },
};

type Restoring = Pick<Invocation, "flags" | "store" | "caller" | "systemdCgroup" | "warn" | "debug">;

/** After a failure nothing of the container is left. */
async function restoreContainer(id: string, { path: bundle, spec: given }: Bundle, invocation: Restoring): Promise<{ record: ContainerRecord; exited: Promise<number> }> {
  const { flags, store, caller, systemdCgroup, warn } = invocation;
  const planned = systemdCgroup ? await planUnit(given, id, caller) : undefined;
  const unit = planned?.recorded;
  const spec = planned?.spec ?? given;
  const plan = compile(spec, { id, host: detectHost(caller.proc), bundle, noPivot: flags.bool("no-pivot"), outerHooks: true, ...joinedNamespaces(spec), warn });
  const cgroups = plan.teardown.flatMap((op) => (op.op === "cgroupRemove" ? [op.path] : []));
  checkRoot(plan);
  const options = optionsOf(spec, plan, flags.string("image-path"));
  requireReach(spec, flags.string("image-path"));
  await requireCriu();
  if (flags.bool("lazy-pages")) await requireFeature("lazyPages");
  makeMountpoints(plan.child, rootOf({ spec, bundle }));
  store.reserve(id, { notify: false });
  checkGroups(cgroups, () => store.remove(id));
  store.announce(id, cgroups);
  try {
    const make = (): ReturnType<typeof runCriu> => runCriu({ id, bundle, spec }, { ...invocation, plan, options });
    const { pid, startTime, newTime, exited } = await (planned ? inNewUnit(planned, id, make) : make());
    let record: ContainerRecord = { id, bundle, pid, startTime, created: new Date().toISOString(), owner: userInfo().username, spec: newTime ? withTimeNamespace(spec) : spec, cgroups, noNewKeyring: false, descriptors: spec.process?.terminal ? [] : streamsOf("/proc/self"), ...(unit && { unit }) };
    store.save(record);
    if (planned?.later) store.save((record = await (await import("./update.ts")).applyLimits(record, planned.later)));
    writePidFile(flags.string("pid-file"), pid);
    return { record, exited };
  } catch (error) {
    await endGroups(cgroups);
    if (unit) await stopUnit(unit).catch((failure: unknown) => warn(messageOf(failure)));
    await forget(id, store);
    throw error;
  }
}

/** criu may have put the processes into a time namespace, so that their clocks go on: further processes join it. */
function withTimeNamespace(spec: OciSpec): OciSpec {
  const namespaces = spec.linux?.namespaces ?? [];
  if (namespaces.some(({ type }) => type === "time")) return spec;
  return { ...spec, linux: { ...spec.linux, namespaces: [...namespaces, { type: "time" }] } };
}

/** criu reads images with the rights of the container's root, for whom root's folders may be closed. */
function requireReach({ linux }: OciSpec, images: string): void {
  if ((statSync(images).mode & 0o001) === 0 && linux?.namespaces?.some(({ type }) => type === "user") === true) throw invalidParameter(`--image-path ${images}: a container in a user namespace cannot reach it: chmod o+x, where others cannot reach its parent`);
}

/** What the configuration and the checkpoint alone say. */
function optionsOf(spec: OciSpec, { child }: Plan, images: string): Pick<CriuOptions, "externalMounts" | "inheritFds" | "joinNamespaces"> {
  return {
    externalMounts: [...externalMounts(child).map(({ target, source }): [string, string] => [target, source]), ...(maskedPaths(child).length > 0 ? [[maskSource, maskSource] as [string, string]] : [])],
    inheritFds: inheritedStreams(readDescriptors(images)),
    joinNamespaces: joinedByCriu(spec),
  };
}

/** Looked at before it goes on: it may end at once. */
interface Init {
  pid: number;
  startTime: string;
  /** It is in another time namespace than we are. */
  newTime: boolean;
}

const initOf = (pid: number): Init => ({ pid, startTime: startTimeOf(pid), newTime: readlinkSync(`/proc/${pid}/ns/time`) !== readlinkSync("/proc/self/ns/time") });

interface CriuRun extends Restoring {
  plan: Plan;
  options: ReturnType<typeof optionsOf>;
}

/** The container's init, and its end unless detached. */
async function runCriu(container: Pick<ContainerRecord, "id" | "bundle" | "spec">, { flags, store, caller, warn, debug, plan, options: given }: CriuRun): Promise<Init & { exited: Promise<number> }> {
  const { spec } = container;
  const consoleSocket = flags.string("console-socket");
  using folders = openFolders(flags, { create: false });
  await using root = await mountedRoot(rootOf(container), store.restoreRoot(container.id));
  using joined = openNamespaces(spec);
  using wires = new DisposableStack();
  const [ours, theirs] = socketPair("seqpacket");
  const [control, itsControl] = socketPair("seqpacket");
  const attended = wires.adopt(new Seqpacket(control, { message: () => {}, end: () => {} }), (socket) => socket.close());
  let restoration: Restoration | undefined;
  let init: Init | undefined;
  let master: number | undefined;
  const notified = async (script: string, told: number, fds: number[]): Promise<void> => {
    debug(`criu is at ${script}`);
    if (script === "post-restore") init = initOf(told);
    if (script === "setup-namespaces") for (const stage of ["prestart", "createRuntime"] as const) await runHooks(stage, container, { caller, pid: told, status: "creating", warn });
    if (script === "orphan-pts-master" && fds[0] !== undefined) {
      if (consoleSocket !== "") await sendTerminal(fds[0], consoleSocket);
      else if (master === undefined) master = wires.adopt(fds.shift()!, (fd) => closeSync(fd));
    }
    for (const fd of fds) closeSync(fd);
  };
  try {
    const starting = runRestore(plan, store.folder(container.id), { caller, fds: [itsControl, theirs, ...joined.fds], wait: !flags.bool("detach") });
    for (const fd of [itsControl, theirs]) closeSync(fd);
    restoration = await starting;
    const options: CriuOptions = {
      ...commonOptions(flags, folders, spec.annotations),
      ...given,
      logFile,
      root: root.path,
      sibling: true,
      evasiveDevices: true,
      inheritFds: [...joined.keys.map((key, index): [string, number] => [key, 4 + index]), ...given.inheritFds!],
      cgroupRoots: cgroupRootsOf(restoration.criu),
      ...(flags.string("lsm-profile") !== "" && { lsmProfile: flags.string("lsm-profile") }),
      ...(flags.string("lsm-mount-context") !== "" && { lsmMountContext: flags.string("lsm-mount-context") }),
    };
    await converse(ours, { type: request.restore, options }, notified);
    if (init === undefined) throw systemError("criu has not told the restored process");
    await attended.send(pidMessage(init.pid), master === undefined ? [] : [master]);
    return { ...init, exited: restoration.exited };
  } catch (error) {
    if (restoration === undefined) throw error;
    wires.dispose();
    await Promise.race([restoration.exited.catch(() => {}), sleep(undoTime, undefined, { ref: false })]);
    throw systemError(`${(error as Error).message}${logHint(join(folders.log, logFile))}`, error);
  }
}

/** As gantry-shim reads it: a number of this machine's kind. */
const pidMessage = (pid: number): Buffer => Buffer.from(Uint32Array.of(pid).buffer);

/** cgroups(7): "number:controllers:path". */
const cgroupRootsOf = (pid: number): [string, string][] =>
  textOf(`/proc/${pid}/cgroup`).split("\n").flatMap((line): [string, string][] => {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    return match ? [[match[1]!, match[2]!]] : [];
  });

/** criu wants a mount as root, with a parent that is not covered. */
async function mountedRoot(source: string, target: string): Promise<AsyncDisposable & { path: string }> {
  mkdirSync(target, { mode: 0o755 });
  const fd = openSync(source, "r");
  try {
    bindOpen(fd, target);
  } finally {
    closeSync(fd);
  }
  return {
    path: realpathSync(target),
    [Symbol.asyncDispose]: async () => {
      await detach(target);
      rmdirSync(target);
    },
  };
}

function openNamespaces(spec: OciSpec): Disposable & { keys: string[]; fds: number[] } {
  const joined = externalNamespaces(spec);
  const fds: number[] = [];
  const close = (): void => fds.forEach((fd) => closeSync(fd));
  for (const { name, path: file } of joined) {
    try {
      fds.push(openSync(file, "r"));
    } catch (error) {
      close();
      throw invalidParameter(`linux.namespaces: the ${name} namespace ${file} must be there: ${messageOf(error)}`, error);
    }
  }
  return { keys: joined.map(({ key }) => key), fds, [Symbol.dispose]: close };
}

async function sendTerminal(master: number, socket: string): Promise<void> {
  let fd: number;
  try {
    fd = connectStream(socket);
  } catch (error) {
    throw systemError(`--console-socket ${socket}: ${messageOf(error)}`, error);
  }
  const connection = new Seqpacket(fd, { message: () => {}, end: () => {} });
  await connection.send(Buffer.from("/dev/ptmx"), [master]);
  connection.close();
}
