/** Plans whose process is another runtime's command; the shim takes over what that leaves. */
import { join } from "node:path";
import type { TaskRequest } from "../../core/runtime.ts";
import { containerGroups } from "../cgroups/groups.ts";
import { rootOps } from "../compile/rootfs.ts";
import type { HostFacts } from "../host.ts";
import type { ExecPlan, ExecStep, Plan } from "../plan/types.ts";
import { bundleOf, rootOf } from "./bundle.ts";
import type { RuntimeCommands } from "./program.ts";

export function createPlan(request: TaskRequest, commands: RuntimeCommands, { folder, host }: { folder: string; host: HostFacts }): Plan {
  const { spec, rootfs, stdio } = request;
  const groups = containerGroups(host.cgroups, spec.linux?.cgroupsPath, request.id).map(({ path }) => path);
  const pidFile = join(folder, "pid");
  const socket = stdio.terminal ? join(folder, "console") : "";
  const { checkpoint } = request;
  const [command, ...more] = checkpoint === undefined ? ["create"] : ["restore", "--detach", "--image-path", checkpoint, "--work-path", checkpoint];
  const args = [...more, "--bundle", bundleOf(folder), "--pid-file", pidFile, ...(socket === "" ? [] : ["--console-socket", socket]), request.id];
  return {
    namespaces: [{ type: "mount", kind: "new" }],
    host: [],
    parent: [{ op: "adopt", pidFile, console: socket, mountpoint: rootOf(folder), width: stdio.consoleSize?.width ?? 0, height: stdio.consoleSize?.height ?? 0, cgroups: groups }],
    child: [{ op: "rootPropagation", propagation: "slave", recursive: true }, ...rootOps(spec, { rootfs }).ops, started(commands, checkpoint)],
    exec: step(commands.argv(commands.logOf("create"), command, ...args), { cwd: folder, env: commands.env }),
    teardown: [commands.hook("delete", "delete", "--force", request.id), ...groups.map((path) => ({ op: "cgroupRemove" as const, path }))],
  };
}

/** What has been restored runs. */
const started = (commands: RuntimeCommands, checkpoint: string | undefined): ReturnType<RuntimeCommands["hook"]> => commands.hook("start", checkpoint === undefined ? "start" : "state", commands.id);

/** The exec's files are called after `name`. */
export function execPlan(commands: RuntimeCommands, { folder, name, terminal }: { folder: string; name: string; terminal: boolean }): { plan: ExecPlan; pidFile: string; console: string; process: string; log: string } {
  const file = (kind: string): string => join(folder, `${name}.${kind}`);
  const files = { pidFile: file("pid"), console: terminal ? join(folder, name) : "", process: file("json"), log: file("log") };
  const args = ["--detach", "--process", files.process, "--pid-file", files.pidFile, ...(terminal ? ["--console-socket", files.console] : []), commands.id];
  return { plan: { namespaces: [], cgroups: [], exec: step(commands.argv(files.log, "exec", ...args), { cwd: folder, env: commands.env }) }, ...files };
}

function step(args: string[], { cwd, env }: { cwd: string; env: string[] }): ExecStep {
  return { terminal: false, user: { uid: 0, gid: 0, additionalGids: [] }, cwd, createCwd: false, args, env, rlimits: [], noNewPrivileges: false };
}
