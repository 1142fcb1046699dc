/** A picture of the running process for those who look for a fault, as SIGUSR1 asks. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../core/logger.ts";
import { messageOf } from "../../lib/errors.ts";

/** Writes what the process holds into `folder`, and says where. */
export function dumpState(folder: string, log: Logger): void {
  const path = join(folder, `gantryd-${new Date().toISOString().replaceAll(":", "")}.json`);
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const state = { pid: process.pid, uptimeSeconds: process.uptime(), memory: process.memoryUsage(), usage: process.resourceUsage(), resources };
  try {
    writeFileSync(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
    log.info(`state of the process written to ${path}`);
  } catch (error) {
    log.error(`cannot write the state of the process: ${messageOf(error)}`);
  }
}
