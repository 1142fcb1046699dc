/**
 * The process that a scope begins with, because systemd makes none without: it waits in the group until the container's own processes
 * are there. It ends when whoever started it does, and a scope without any process is no more.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { nativeDir } from "../../../sys/addon.ts";

export interface Holder {
  pid: number;
  end: () => Promise<void>;
}

export async function startHolder(): Promise<Holder> {
  const child = spawn(join(nativeDir, "gantry-shim"), ["hold"], { stdio: ["pipe", "ignore", "ignore"], env: {} });
  await once(child, "spawn");
  const ended = once(child, "exit");
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  return {
    pid: child.pid!,
    end: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
