import { renameSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { invalidParameter, notImplemented } from "../../lib/errors.ts";
import type { FlagSpec, FlagValues } from "../../lib/flags.ts";
import { bool, int, string } from "../../lib/flags.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { compile } from "../compile/compile.ts";
import { detectHost } from "../host.ts";
import type { Bundle } from "./bundle.ts";
import { loadBundle } from "./bundle.ts";
import { removeGroups } from "./cgroups.ts";
import type { Command, Invocation } from "./command.ts";
import type { Made } from "./oneshot.ts";
import { runCreate } from "./oneshot.ts";
import { path } from "./paths.ts";
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

export const create: Command = {
  name: "create",
  resident: true,
  usage: "CONTAINER",
  about: "Make a container from a bundle; its program waits for start",
  flags: creationFlags,
  arguments: [1, 1],
  async run({ args, flags, store, caller, warn }) {
    const bundle = loadBundle(flags.string("bundle"));
    if (bundle.spec.process?.terminal && flags.string("console-socket") === "") throw invalidParameter("a container with a terminal needs --console-socket when it is not run in the foreground");
    await makeContainer(args[0]!, bundle, { flags, store, caller, warn, wait: false });
    return 0;
  },
};

interface Creation extends Pick<Invocation, "flags" | "store" | "caller" | "warn"> {
  /** gantry-shim stays with the container. */
  wait: boolean;
}

/** Makes the container and its record. After a failure nothing of either is left. */
export async function makeContainer(id: string, bundle: Bundle, { flags, store, caller, warn, wait }: Creation): Promise<{ record: ContainerRecord; made: Made }> {
  refuse(flags);
  const noNewKeyring = flags.bool("no-new-keyring");
  const plan = compile(bundle.spec, { id, host: detectHost(caller.proc), bundle: bundle.path, noPivot: flags.bool("no-pivot"), noNewKeyring, outerHooks: true, joinsHostNetwork: joinsHostNetwork(bundle.spec), warn });
  store.reserve(id);
  const cgroups = plan.teardown.flatMap((op) => (op.op === "cgroupRemove" ? [op.path] : []));
  try {
    const made = await runCreate(plan, store.folder(id), { caller, consoleSocket: flags.string("console-socket"), wait });
    const record: ContainerRecord = { id, bundle: bundle.path, pid: made.pid, startTime: startTimeOf(made.pid), created: new Date().toISOString(), owner: userInfo().username, spec: bundle.spec, cgroups, noNewKeyring };
    store.save(record);
    writePidFile(flags.string("pid-file"), made.pid);
    return { record, made };
  } catch (error) {
    await removeGroups(cgroups);
    store.remove(id);
    throw error;
  }
}

function joinsHostNetwork({ linux }: OciSpec): boolean {
  const path = linux?.namespaces?.find(({ type }) => type === "network")?.path;
  if (!path) return false;
  const [theirs, ours] = [statSync(path, { throwIfNoEntry: false }), statSync("/proc/self/ns/net")];
  return theirs?.ino === ours.ino && theirs.dev === ours.dev;
}

/** Whoever watches the file never reads half a number. */
export function writePidFile(path: string, pid: number): void {
  if (path === "") return;
  writeFileSync(`${path}.new`, String(pid), { mode: 0o644 });
  renameSync(`${path}.new`, path);
}

function refuse(flags: FlagValues): void {
  if (flags.string("pidfd-socket") !== "") throw notImplemented("--pidfd-socket is not supported yet");
  if (flags.int("preserve-fds") !== 0) throw notImplemented("--preserve-fds is not supported yet");
}
