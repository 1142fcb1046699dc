/** How a container's LogConfig becomes the shim's log. Pure. */
import { hostname } from "node:os";
import type { ContainerRecord } from "../../../core/container.ts";
import { REMOTE_LOG_DRIVERS } from "../../../core/log.ts";
import type { LogRequest } from "../../../core/runtime.ts";
import { clientRegExp } from "../../../lib/client-regexp.ts";
import { messageOf, systemError } from "../../../lib/errors.ts";
import { atoi, parseBool } from "../../../lib/strconv.ts";
import { compile, execute } from "../../../lib/template/execute.ts";
import { TemplateObject } from "../../../lib/template/values.ts";
import { parseHumanSize, parseRamSize } from "../../../lib/units.ts";
import { cacheOptions, waitingOf } from "./log-cache.ts";

const FILES_MOST = 1000;

/** The driver "local" is the same journal with Docker's limits for it; its files are nobody's interface. */
const localDefaults = { "max-size": "20m", "max-file": "5", compress: "true" };

/** `path` is where a json-file log lies; `most`: bytes of a log without a limit of its own, 0 for any. Throws Docker's refusals. */
export function logRequest(record: ContainerRecord, { path, most }: { path: string; most: number }): LogRequest {
  const { Type, Config } = record.hostConfig.LogConfig;
  if (Type === "none") return { kind: "none" };
  try {
    if (REMOTE_LOG_DRIVERS.includes(Type)) return recordOfRemote(record, { path, most });
    const options = Type === "local" ? { ...localDefaults, ...Config } : (Config ?? {});
    const { defaultFiles, ...limits } = logLimits(options, Type === "local" ? parseRamSize : parseHumanSize);
    const attributes = fileAttributes(record, options);
    return {
      kind: "json-file",
      path,
      ...(limits.maxBytes !== undefined || most === 0 ? limits : { ...limits, maxBytes: Math.ceil(most / defaultFiles), maxFiles: defaultFiles }),
      ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
    };
  } catch (error) {
    throw systemError(`failed to create task for container: failed to initialize logging driver: ${messageOf(error)}`, error);
  }
}

/** The files of a log that is sent on keep what waits for the server, in as many as that takes. */
function recordOfRemote(record: ContainerRecord, { path, most }: { path: string; most: number }): LogRequest {
  const options = record.hostConfig.LogConfig.Config ?? {};
  const { maxBytes, maxFiles } = logLimits(cacheOptions(options), parseRamSize);
  const waiting = waitingOf(options);
  const bytes = maxBytes ?? most;
  const files = waiting !== "all" ? Math.ceil(waiting / bytes) + 1 : most === 0 ? FILES_MOST : Math.ceil(most / bytes);
  return { kind: "json-file", path, maxBytes: bytes, maxFiles: Math.max(maxFiles, Math.min(files, FILES_MOST)) };
}

/** Whether rotated files of the container's log are to be compressed. */
export function compressesLog({ hostConfig: { LogConfig: log } }: Pick<ContainerRecord, "hostConfig">): boolean {
  if (log.Type !== "json-file" && log.Type !== "local") return false;
  try {
    return parseBool(log.Config?.["compress"] ?? (log.Type === "local" ? "true" : "false"));
  } catch {
    return false;
  }
}

/** `defaultFiles`: into how many a limit of the daemon's is divided, so that the youngest part stays when it is reached. */
export function logLimits(options: Record<string, string>, parseSize: (text: string) => number): { maxBytes?: number; maxFiles: number; defaultFiles: number } {
  const size = options["max-size"] === undefined ? undefined : parseSize(options["max-size"]);
  if (size !== undefined && size <= 0) throw new Error("max-size must be a positive number");
  const maxFiles = options["max-file"] === undefined ? 1 : atoi(options["max-file"]);
  if (maxFiles < 1) throw new Error("max-file cannot be less than 1");
  if (options["compress"] !== undefined && parseBool(options["compress"]) && (maxFiles === 1 || size === undefined)) throw new Error("compress cannot be true when max-file is less than 2 or max-size is not set");
  return { ...(size === undefined ? {} : { maxBytes: size }), maxFiles, defaultFiles: Math.max(2, maxFiles) };
}

/** What a json-file has beside each line. */
function fileAttributes(record: ContainerRecord, options: Record<string, string>): Record<string, string> {
  const tag = tagOf(record, options["tag"] ?? "");
  return tag === "" ? logAttributes(record, options) : sorted({ ...logAttributes(record, options), tag });
}

/** The labels and environment variables that "labels", "labels-regex", "env" and "env-regex" choose; keys sorted. */
export function logAttributes(record: ContainerRecord, options: Record<string, string>): Record<string, string> {
  const chosen = new Map<string, string>();
  const choose = (values: Record<string, string>, list: string | undefined, regex: string | undefined): void => {
    for (const key of (list ?? "").split(",")) if (key !== "" && Object.hasOwn(values, key)) chosen.set(key, values[key] as string);
    if (regex !== undefined && regex !== "") {
      const pattern = clientRegExp(regex);
      for (const [key, value] of Object.entries(values)) if (pattern.test(key)) chosen.set(key, value);
    }
  };
  choose(record.config.Labels ?? {}, options["labels"], options["labels-regex"]);
  choose(environment(record.config.Env ?? []), options["env"], options["env-regex"]);
  return sorted(Object.fromEntries(chosen));
}

const sorted = (values: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));

function environment(env: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const entry of env) {
    const at = entry.indexOf("=");
    if (at > 0) values[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return values;
}

/** A Go template over what Docker's log drivers know of a container. */
export function tagOf(record: ContainerRecord, template: string): string {
  if (!template.includes("{{")) return template;
  const { id, name, imageId, imageRef, config, createdAt } = record;
  const [program = "", ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const members = {
    ID: id.slice(0, 12),
    FullID: id,
    Hostname: hostname(),
    Name: name,
    ImageID: imageId.slice(0, 12),
    ImageFullID: imageId,
    ImageName: imageRef,
    Command: [program, ...args].join(" "),
    DaemonName: "docker",
    Config: record.hostConfig.LogConfig.Config ?? {},
    ContainerID: id,
    ContainerName: `/${name}`,
    ContainerEntrypoint: program,
    ContainerArgs: args,
    ContainerImageID: imageId,
    ContainerImageName: imageRef,
    ContainerCreated: new Date(Number(createdAt / 1_000_000n)).toISOString(),
    ContainerEnv: config.Env ?? [],
    ContainerLabels: config.Labels ?? {},
  };
  return execute(compile(template, "log-tag"), new TemplateObject("*logger.Info", members));
}
