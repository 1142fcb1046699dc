/** Hooks that run while a container is made (runtime-spec, "POSIX-platform Hooks"), with the state that they read. */
import type { OciSpec } from "../../lib/oci-spec.ts";
import type { ChildOp } from "../plan/types.ts";

/** In the order in which they run; the first two in the host's namespaces, the others in the container's. */
const stages = ["prestart", "createRuntime", "createContainer", "startContainer"] as const;

export function hookOps(spec: OciSpec, { id, bundle }: { id: string; bundle?: string }): ChildOp[] {
  return stages.flatMap((stage) =>
    (spec.hooks?.[stage] ?? []).map(({ path, args = [path], env = [], timeout = 0 }): ChildOp => {
      const state = { ociVersion: spec.ociVersion, id, status: stage === "startContainer" ? "created" : "creating", pid: 0, bundle: bundle ?? "", annotations: spec.annotations ?? {} };
      return { op: "hook", path, args, env, timeoutSeconds: timeout, stage, state: JSON.stringify(state) };
    }),
  );
}
