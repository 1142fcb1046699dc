/** Options of a running container's log that change: its shim, its forwarder and the compression of old files hear of them. */
import type { ContainerRecord } from "../../../core/container.ts";
import type { Task } from "../../../core/runtime.ts";
import type { LifecycleContext } from "./context.ts";
import { isForwarded, forwardTarget, verifyLog } from "./log-forwarding.ts";
import { compressesLog, logRequest } from "./log-request.ts";
import { taskOf } from "./state.ts";

/** `changed`: the record as it will be. Throws what a start with these options would; then nothing has changed. */
export async function changeLog(context: LifecycleContext, record: ContainerRecord, changed: ContainerRecord): Promise<void> {
  const path = context.logPath(record);
  const task = taskOf(context, record);
  const [before, after] = [record, changed].map((one) => logRequest(one, { path, most: context.logBytes }));
  if (after?.kind !== "json-file") return;
  if (record.hostConfig.LogConfig !== changed.hostConfig.LogConfig) await verifyLog(context, changed);
  if (JSON.stringify(before) !== JSON.stringify(after)) await task.changeLog(after);
  if (isForwarded(changed)) context.forwarder.forward(forwardTarget(changed, path));
  compressLog(context, changed, task);
}

/** Has old files compressed for as long as the record, as it is then, says so. */
export function compressLog(context: LifecycleContext, record: ContainerRecord, task: Task): void {
  const live = context.live(record.id);
  if (live.compressing || !compressesLog(record)) return;
  live.compressing = true;
  context.compressor.watch({ path: context.logPath(record), ended: task.exited }, () => compressesLog(context.store.get(record.id) ?? record));
}
