/** Hooks (runtime-spec, "POSIX-platform Hooks") with the state that they read. The executor knows by the stage when and in
 *  whose namespaces each runs. */
import type { OciSpec } from "../../lib/oci-spec.ts";
import type { HookOp } from "../plan/types.ts";

type Stage = keyof NonNullable<OciSpec["hooks"]>;

const statuses: Record<Stage, string> = { prestart: "creating", createRuntime: "creating", createContainer: "creating", startContainer: "created", poststart: "running", poststop: "stopped" };

export function hookOps(spec: OciSpec, stages: readonly Stage[], { id, bundle }: { id: string; bundle?: string }): HookOp[] {
  return stages.flatMap((stage) =>
    (spec.hooks?.[stage] ?? []).map(({ path, args = [path], env, timeout = 0 }): HookOp => {
      const state = { ociVersion: spec.ociVersion, id, status: statuses[stage], pid: 0, bundle: bundle ?? "", annotations: spec.annotations ?? {} };
      return { op: "hook", path, args, env: env ?? [], timeoutSeconds: timeout, stage, state: JSON.stringify(state), ...(stage === "startContainer" && env === undefined && { inheritEnv: true }) };
    }),
  );
}

/** runtime-spec, "The Container Process State": what goes to `linux.seccomp.listenerPath`. Each pid of 0 becomes the process's. */
export function listenerState(spec: OciSpec, { id, bundle = "", status, initPid = 0 }: { id: string; bundle?: string; status: "creating" | "running"; initPid?: number }): string {
  const metadata = spec.linux?.seccomp?.listenerMetadata;
  const state = { ociVersion: spec.ociVersion, id, status, pid: initPid, bundle, annotations: spec.annotations ?? {} };
  return JSON.stringify({ ociVersion: spec.ociVersion, fds: ["seccompFd"], pid: 0, ...(metadata && { metadata }), state });
}
