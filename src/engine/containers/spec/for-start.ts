/** The OCI configuration for a start: what this version cannot give is refused first, then missing bind sources are made. */
import type { ContainerRecord } from "../../../core/container.ts";
import { conflict, GantryError, invalidParameter, messageOf, systemError } from "../../../lib/errors.ts";
import type { OciSpec } from "../../../lib/oci-spec.ts";
import type { ContainersContext } from "../context.ts";
import { makeBindSources } from "../mounts/sources.ts";
import { refuseAtStart } from "../unsupported.ts";
import { buildSpec } from "./build.ts";
import type { SpecSandbox } from "./host.ts";

/** Throws Docker's errors. */
export function specForStart(context: ContainersContext, record: ContainerRecord, sandbox: SpecSandbox): OciSpec {
  refuseAtStart(record, context.kernel);
  makeBindSources(record.mounts);
  return buildSpec({ record, sandbox, host: context.host, settings: context.settings, pidOf: (ref, namespace) => pidOf(context, ref, namespace) });
}

function pidOf({ store }: ContainersContext, ref: string, namespace: "IPC" | "PID"): number {
  const other = findOther(store, ref);
  const { state } = other;
  if (state.status === "restarting") throw conflict(`Container ${ref} is restarting, wait until the container is running`);
  if (state.status === "running" || state.status === "paused") return state.pid;
  const message = `container ${ref} is not running`;
  throw namespace === "PID" ? systemError(message) : conflict(message);
}

function findOther(store: ContainersContext["store"], ref: string): ContainerRecord {
  try {
    return store.find(ref);
  } catch (error) {
    throw error instanceof GantryError && error.code === "not-found" ? invalidParameter(messageOf(error), error) : error;
  }
}
