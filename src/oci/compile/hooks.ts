/** Hooks (runtime-spec, "POSIX-platform Hooks") with the state that they read. The executor knows by the stage when and in
 *  whose namespaces each runs. */
import type { OciSpec } from "../../lib/oci-spec.ts";
import type { HookOp } from "../plan/types.ts";

type Stage = keyof NonNullable<OciSpec["hooks"]>;

const statuses: Record<Stage, string> = { prestart: "creating", createRuntime: "creating", createContainer: "creating", startContainer: "created", poststart: "running", poststop: "stopped" };

export function hookOps(spec: OciSpec, stages: readonly Stage[], { id, bundle }: { id: string; bundle?: string }): HookOp[] {
  return stages.flatMap((stage) =>
    (spec.hooks?.[stage] ?? []).map(({ path, args = [path], env = stage === "startContainer" ? (spec.process?.env ?? []) : [], timeout = 0 }): HookOp => {
      const state = { ociVersion: spec.ociVersion, id, status: statuses[stage], pid: 0, bundle: bundle ?? "", annotations: spec.annotations ?? {} };
      return { op: "hook", path, args, env, timeoutSeconds: timeout, stage, state: JSON.stringify(state) };
    }),
  );
}
