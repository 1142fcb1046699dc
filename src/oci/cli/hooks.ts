/** Hooks outside of the container's making: poststart and poststop, and for a restored container those before its start. */
import { systemError } from "../../lib/errors.ts";
import type { OciHook } from "../../lib/oci-spec.ts";
import type { Caller } from "./caller.ts";
import type { ContainerRecord } from "./store.ts";

interface HookRun {
  caller: Caller;
  pid: number;
  status: string;
  warn: (message: string) => void;
}

/** A poststop hook that fails is a warning, any other an error. */
export async function runHooks(name: "prestart" | "createRuntime" | "poststart" | "poststop", { spec, id, bundle }: Pick<ContainerRecord, "spec" | "id" | "bundle">, { caller, pid, status, warn }: HookRun): Promise<void> {
  const state = JSON.stringify({ ociVersion: spec.ociVersion, id, status, ...(pid > 0 && { pid }), bundle, annotations: spec.annotations ?? {} });
  for (const [index, hook] of (spec.hooks?.[name] ?? []).entries()) {
    try {
      await runHook(hook, state, caller);
    } catch (error) {
      const message = `error running ${name} hook #${index}: ${hook.path}: ${(error as Error).message}`;
      if (name !== "poststop") throw systemError(message, error);
      warn(message);
    }
  }
}

async function runHook({ path, args, env, timeout }: OciHook, state: string, caller: Caller): Promise<void> {
  const child = caller.spawn({ path, args: args?.length ? args : [path], env: env ?? [], kind: "hook", input: Buffer.from(state), forwardSignals: false });
  const limit = timeout === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), timeout * 1000);
  try {
    const { code, signal } = await child.exited;
    if (code !== 0) throw systemError(signal === null ? `exit status ${code}` : `ended by ${signal}`);
  } finally {
    clearTimeout(limit);
  }
}
