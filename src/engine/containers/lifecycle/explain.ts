/** What a start would do, without doing it: `run --dry-run`. */
import type { ContainerRecord } from "../../../core/container.ts";
import type { RootfsMount } from "../../../core/runtime.ts";
import type { LifecycleContext } from "./context.ts";
import { stdioOf } from "./start.ts";
import { logRequest } from "./log-request.ts";

/** The network's part is named, not planned: what it will be depends on what is free at the start. */
export async function explainStart(context: LifecycleContext, record: ContainerRecord, rootfs: RootfsMount[]): Promise<string> {
  const { NetworkMode: mode } = record.hostConfig;
  const runtime = context.runtimeOf(record);
  const plan = context.runtime.explain({
    id: record.id,
    spec: await context.planSpec(record, {}),
    ...(runtime && { runtime }),
    rootfs,
    stdio: stdioOf(record),
    log: logRequest(record, { path: context.logPath(record), most: context.logBytes }),
    autostart: true,
  });
  return `container ${record.name}, network ${mode}\n${plan}`;
}
