/** Hooks outside of the container's making: poststart and poststop. */
import { spawn } from "node:child_process";
import { systemError } from "../../lib/errors.ts";
import type { OciHook } from "../../lib/oci-spec.ts";
import type { ContainerRecord } from "./store.ts";

interface HookRun {
  pid: number;
  status: string;
  /** What to do about a hook that fails: the specification wants a warning and the next hook. */
  onFailure: (message: string) => void;
}

export async function runHooks(name: "poststart" | "poststop", { spec, id, bundle }: Pick<ContainerRecord, "spec" | "id" | "bundle">, { pid, status, onFailure }: HookRun): Promise<void> {
  const state = JSON.stringify({ ociVersion: spec.ociVersion, id, status, ...(pid > 0 && { pid }), bundle, annotations: spec.annotations ?? {} });
  for (const hook of spec.hooks?.[name] ?? []) {
    try {
      await runHook(hook, state);
    } catch (error) {
      onFailure(`${name} hook ${hook.path}: ${(error as Error).message}`);
    }
  }
}

function runHook(hook: OciHook, state: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const [argv0, ...args] = hook.args?.length ? hook.args : [hook.path];
    const env = Object.fromEntries((hook.env ?? []).map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]));
    const child = spawn(hook.path, args, { argv0, env, stdio: ["pipe", "ignore", "inherit"], ...(hook.timeout !== undefined && { timeout: hook.timeout * 1000, killSignal: "SIGKILL" as const }) });
    child.on("error", reject);
    child.on("exit", (code, signal) => (code === 0 ? resolve() : reject(systemError(signal ? `ended by ${signal}` : `exit status ${code}`))));
    child.stdin.on("error", () => {});
    child.stdin.end(state);
  });
}
