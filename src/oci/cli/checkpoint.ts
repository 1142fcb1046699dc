/** `checkpoint`: the program criu writes a container's processes to files, from which `restore` makes them again. */
import { closeSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { conflict, invalidParameter } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { bool, int, string } from "../../lib/flags.ts";
import { compile } from "../compile/compile.ts";
import { requireCriu, requireFeature } from "../criu/client.ts";
import { outsideOptions, ownOptions, runDump } from "../criu/dump.ts";
import type { CriuOptions } from "../criu/message.ts";
import { request } from "../criu/message.ts";
import { detectHost, textOf } from "../host.ts";
import type { Command, Invocation } from "./command.ts";
import { commonOptions, criuFlags, openFolders, requireRoot } from "./criu-flags.ts";
import { destroy } from "./delete.ts";
import { joinedNamespaces } from "./joined.ts";
import { rootOf, statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

export const checkpoint: Command = {
  name: "checkpoint",
  usage: "CONTAINER",
  about: "Save a container's processes to files, by the program criu",
  flags: [
    ...criuFlags,
    { name: "parent-path", type: string },
    { name: "leave-running", type: bool },
    { name: "tcp-skip-in-flight", type: bool },
    { name: "link-remap", type: bool },
    { name: "status-fd", type: int, default: "-1" },
    { name: "page-server", type: string },
    { name: "pre-dump", type: bool },
  ],
  arguments: [1, 1],
  async run({ args, flags, ...invocation }) {
    requireRoot();
    const record = invocation.store.load(args[0]!);
    const status = statusOf(record, invocation.store);
    if (status === "created" || status === "stopped") throw conflict(`Container cannot be checkpointed in ${status} state`);
    await dump(record, flags, invocation);
    if (!flags.bool("leave-running") && !flags.bool("pre-dump")) await destroy(record, invocation);
    return 0;
  },
};

async function dump(record: ContainerRecord, flags: FlagValues, { caller }: Pick<Invocation, "caller">): Promise<void> {
  const preDump = flags.bool("pre-dump");
  const { child } = compile(record.spec, { id: record.id, host: detectHost(caller.proc), bundle: record.bundle, outerHooks: true, ...joinedNamespaces(record.spec) });
  const container = { ...record, child };
  using folders = openFolders(flags, { create: true });
  const options: CriuOptions = {
    ...commonOptions(flags, folders, record.spec.annotations),
    ...ownOptions(container),
    root: rootOf(record),
    leaveRunning: flags.bool("leave-running"),
    tcpSkipInFlight: flags.bool("tcp-skip-in-flight"),
    linkRemap: flags.bool("link-remap"),
    ...parentOf(flags),
    ...pageServerOf(flags),
  };
  const ready = statusFdOf(flags);
  await requireCriu();
  if (preDump || options.trackMemory) await requireFeature("memoryTracking");
  if (flags.bool("lazy-pages")) await requireFeature("lazyPages");
  if (preDump) options.trackMemory = true;
  else {
    const outside = outsideOptions(container, flags.string("image-path"));
    Object.assign(options, outside, { external: [...options.external!, ...outside.external] });
  }
  await runDump(preDump ? request.preDump : request.dump, options, folders.log, (script) => {
    if (script === "status-ready") ready?.();
  });
}

function parentOf(flags: FlagValues): Partial<CriuOptions> {
  const parent = flags.string("parent-path");
  if (parent === "") return {};
  if (parent.startsWith("/")) throw invalidParameter("--parent-path must be relative");
  const folder = join(flags.string("image-path"), parent);
  const info = statSync(folder, { throwIfNoEntry: false });
  if (!info?.isDirectory()) throw invalidParameter(`invalid --parent-path: ${folder}: ${info === undefined ? "no such file or directory" : "not a directory"}`);
  return { parentImage: parent, trackMemory: true };
}

function pageServerOf(flags: FlagValues): Partial<CriuOptions> {
  const text = flags.string("page-server");
  if (text === "") return {};
  const match = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) throw invalidParameter(`--page-server ${text}: use --page-server ADDRESS:PORT to name the page server`);
  return { pageServer: { address: match[1] ?? match[2]!, port: Number(match[3]) } };
}

/** Tells whoever waits at --status-fd that pages can be fetched. */
function statusFdOf(flags: FlagValues): (() => void) | undefined {
  const fd = flags.int("status-fd");
  if (fd < 0 || !flags.bool("lazy-pages")) return undefined;
  const mode = /^flags:\s+(\d+)$/m.exec(textOf(`/proc/self/fdinfo/${fd}`))?.[1];
  if (mode === undefined) throw invalidParameter(`invalid --status-fd argument ${fd}: it is not open`);
  if ((Number.parseInt(mode, 8) & 3) === 0) throw invalidParameter(`invalid --status-fd argument ${fd}: not writable`);
  return () => {
    writeSync(fd, "\0");
    closeSync(fd);
  };
}
