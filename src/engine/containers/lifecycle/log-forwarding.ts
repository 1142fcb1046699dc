/** Containers whose log is sent on: from their start until the server has everything. */
import { hostname } from "node:os";
import type { ContainerRecord } from "../../../core/container.ts";
import type { ForwardTarget } from "../../../core/log-forwarder.ts";
import { REMOTE_LOG_DRIVERS } from "../../../core/log.ts";
import { messageOf, systemError } from "../../../lib/errors.ts";
import { parseBool } from "../../../lib/strconv.ts";
import { parseRamSize } from "../../../lib/units.ts";
import { rfc3339Nano } from "../../../lib/rfc3339.ts";
import type { LifecycleContext } from "./context.ts";
import { cacheOptions, keepsRecord, waitingOf } from "./log-cache.ts";
import { logAttributes, logLimits, tagOf } from "./log-request.ts";
import { hasTask } from "./state.ts";

/** What of a removed container's log was not taken by its server in that time is dropped. */
const LAST_LINES_MS = 10_000;
const DEFAULT_TAG = "{{.ID}}";
/** It is the stream's name. */
const AWSLOGS_TAG = "{{.FullID}}";

export const isForwarded = ({ hostConfig: { LogConfig } }: Pick<ContainerRecord, "hostConfig">): boolean => REMOTE_LOG_DRIVERS.includes(LogConfig.Type);

/** Throws for options that no start can do with. */
export function forwardTarget(record: ContainerRecord, path: string): ForwardTarget {
  const { Type: driver, Config } = record.hostConfig.LogConfig;
  const options = Config ?? {};
  const { maxFiles } = logLimits(cacheOptions(options), parseRamSize);
  const [program = "", ...args] = [...(record.config.Entrypoint ?? []), ...(record.config.Cmd ?? [])];
  const untagged = driver === "splunk" && options["tag"] === "";
  return {
    id: record.id,
    path,
    driver,
    options,
    origin: {
      id: record.id,
      name: record.name,
      imageId: record.imageId,
      imageName: record.imageRef,
      command: [program, ...args].join(" "),
      created: rfc3339Nano(record.createdAt),
      tag: untagged ? "" : tagOf(record, options["tag"] || (driver === "awslogs" ? AWSLOGS_TAG : DEFAULT_TAG)),
      attributes: logAttributes(record, options),
      hostName: hostname(),
    },
    waiting: waitingOf(options),
    keep: keepsRecord(options) ? { files: maxFiles, compress: parseBool(cacheOptions(options).compress) } : { files: 1, compress: false },
  };
}

/** Throws what a start fails with: options that nothing can be made of, a log server that is not there. */
export async function verifyLog(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  if (!isForwarded(record)) return;
  try {
    await context.forwarder.verify(forwardTarget(record, context.logPath(record)));
  } catch (error) {
    throw systemError(`failed to create task for container: failed to initialize logging driver: ${messageOf(error)}`, error);
  }
}

/** From now on, until `ended` has settled and the server has everything. */
export function forwardLog(context: LifecycleContext, record: ContainerRecord, ended: Promise<unknown>): void {
  if (!isForwarded(record)) return;
  try {
    context.forwarder.forward(forwardTarget(record, context.logPath(record)));
  } catch (error) {
    context.warn(`the log of container ${record.id} is not sent on: ${messageOf(error)}`);
    return;
  }
  void ended.catch(() => {}).then(() => context.forwarder.ended(record.id));
}

/** What containers that do not run any more printed and nobody has sent yet. */
export function forwardLeftovers(context: LifecycleContext, records: Iterable<ContainerRecord>): void {
  for (const record of records) {
    if (isForwarded(record) && !hasTask(record) && context.forwarder.isBehind(context.logPath(record))) forwardLog(context, record, Promise.resolve());
  }
}

/** Has `remove` done when the log of a removed container is sent, or after a while; nobody waits for it. */
export function afterLastLines(context: LifecycleContext, record: ContainerRecord, remove: () => void): void {
  if (!context.forwarder.drained(record.id)) forwardLeftovers(context, [record]);
  const drained = context.forwarder.drained(record.id);
  if (!drained) return remove();
  const timer = setTimeout(() => {
    context.warn(`container ${record.id} is removed, and not all of its log could be sent`);
    context.forwarder.drop(record.id);
  }, LAST_LINES_MS);
  void drained.then(() => (clearTimeout(timer), remove()));
}
