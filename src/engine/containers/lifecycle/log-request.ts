/** How a container's LogConfig becomes the shim's log. Pure. */
import type { ContainerRecord } from "../../../core/container.ts";
import type { LogRequest } from "../../../core/runtime.ts";
import { invalidParameter } from "../../../lib/errors.ts";

/** The driver "local" is the same journal with Docker's limits for it; its files are nobody's interface. */
const localDefaults = { "max-size": "20m", "max-file": "5" };

/** `path` is where a json-file log lies. Options were validated at create. */
export function logRequest(record: ContainerRecord, path: string): LogRequest {
  const { Type, Config } = record.hostConfig.LogConfig;
  if (Type === "none") return { kind: "none" };
  const options = Type === "local" ? { ...localDefaults, ...Config } : (Config ?? {});
  const attributes = logAttributes(record, options);
  const maxBytes = options["max-size"] === undefined ? undefined : parseSize(options["max-size"]);
  return {
    kind: "json-file",
    path,
    ...(maxBytes === undefined ? {} : { maxBytes }),
    maxFiles: options["max-file"] === undefined ? 1 : Number(options["max-file"]),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
  };
}

/** The labels and environment variables that "labels", "labels-regex", "env" and "env-regex" choose, and the tag; keys sorted. */
export function logAttributes(record: ContainerRecord, options: Record<string, string>): Record<string, string> {
  const chosen = new Map<string, string>();
  const choose = (values: Record<string, string>, list: string | undefined, regex: string | undefined): void => {
    for (const key of (list ?? "").split(",")) if (key !== "" && Object.hasOwn(values, key)) chosen.set(key, values[key] as string);
    if (regex !== undefined && regex !== "") {
      const pattern = new RegExp(regex);
      for (const [key, value] of Object.entries(values)) if (pattern.test(key)) chosen.set(key, value);
    }
  };
  choose(record.config.Labels ?? {}, options["labels"], options["labels-regex"]);
  choose(environment(record.config.Env ?? []), options["env"], options["env-regex"]);
  if (options["tag"] !== undefined && options["tag"] !== "") chosen.set("tag", options["tag"]);
  return Object.fromEntries([...chosen].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function environment(env: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const entry of env) {
    const at = entry.indexOf("=");
    if (at > 0) values[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return values;
}

const units: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4, p: 1024 ** 5 };

/** go-units' RAMInBytes: "10m", "1.5g", "512kb", in powers of 1024. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const unit = units[(match?.[2] ?? "").toLowerCase()];
  if (!match || unit === undefined) throw invalidParameter(`invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * unit);
}
