/** The log of a container, as a stream of chunks for a client. */
import type { LogOptions } from "../../../core/log.ts";
import { invalidParameter, notImplemented } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { keepsRecord } from "./log-cache.ts";
import { isForwarded } from "./log-forwarding.ts";
import { hasTask } from "./state.ts";

export interface LogQuery extends Omit<LogOptions, "frames"> {}

/** What can be read with which framing, to the end also when the container is removed meanwhile; rejects before anything is read. */
export async function logs(context: LifecycleContext, ref: string, query: LogQuery): Promise<{ tty: boolean; chunks: AsyncIterable<Buffer> }> {
  if (!query.stdout && !query.stderr) throw invalidParameter("must specify at least one of 'stdout' or 'stderr'");
  const record = context.store.find(ref);
  const { Type, Config } = record.hostConfig.LogConfig;
  if (Type === "none" || (isForwarded(record) && !keepsRecord(Config ?? {}))) throw notImplemented("configured logging driver does not support reading");
  const live = context.live(record.id);
  const running = hasTask(record);
  const ended = running ? live.nextExit(query.signal) : Promise.resolve();
  ended.catch(() => {});
  const tty = record.config.Tty;
  return { tty, chunks: await context.logs.read({ path: context.logPath(record), ended }, { ...query, follow: query.follow && running, frames: !tty }) };
}
