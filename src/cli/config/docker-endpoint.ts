/** --docker key=value flags of `context create` and `update`. */
import fs from "node:fs";
import { messageOf } from "../../lib/errors.ts";
import { parseBool } from "../../lib/strconv.ts";
import { openError } from "../open-error.ts";
import { normaliseHost } from "../api/endpoint.ts";
import { parseCsv } from "../parse/csv.ts";
import type { Session } from "../session.ts";
import { findContext } from "./context-text.ts";
import { DEFAULT_CONTEXT } from "./contexts.ts";
import type { ContextMeta, TlsMaterial } from "./contexts.ts";

const KEYS = new Set(["from", "host", "ca", "cert", "key", "skip-tls-verify"]);

export interface DockerEndpoint {
  endpoint: ContextMeta["Endpoints"][string];
  tls: TlsMaterial;
}

/** Throws an Error with Docker's words. */
export function dockerEndpoint(session: Session, values: string[]): DockerEndpoint {
  const options: Record<string, string> = {};
  for (const field of values.flatMap(parseCsv)) {
    const equals = field.indexOf("=");
    options[equals < 0 ? field : field.slice(0, equals)] = equals < 0 ? "" : field.slice(equals + 1);
  }
  const unknown = Object.keys(options).filter((key) => !KEYS.has(key)).sort();
  if (unknown.length > 0) throw new Error(`unable to create docker endpoint config: unrecognized config key: ${unknown.join(", ")}`);
  const { from } = options;
  if (from !== undefined) {
    const others = Object.keys(options).filter((key) => key !== "from");
    if (others.length > 0) throw new Error(`unable to create docker endpoint config: "from" cannot be combined with ${others.map((key) => JSON.stringify(key)).join(", ")}`);
    return copyOf(session, from);
  }
  const tls: TlsMaterial = {};
  for (const part of ["ca", "cert", "key"] as const) if (options[part]) tls[part] = read(options[part]);
  if (options["host"] && !options["host"].includes("://")) throw new Error(`unable to create docker endpoint config: unable to apply docker endpoint options: unable to parse docker host \`${options["host"]}\``);
  const skip = options["skip-tls-verify"];
  const secure = Object.keys(tls).length > 0;
  return { endpoint: { Host: options["host"] ? normaliseHost(options["host"], secure) : "", SkipTLSVerify: skip ? parseBool(skip) : false }, tls };
}

function copyOf(session: Session, name: string): DockerEndpoint {
  let endpoint: ContextMeta["Endpoints"][string] | undefined;
  try {
    endpoint = findContext(session, name).Endpoints["docker"];
  } catch (thrown) {
    throw new Error(`unable to create docker endpoint config: ${messageOf(thrown)}`);
  }
  if (!endpoint) throw new Error(`unable to create docker endpoint config: unable to get endpoint from context ${JSON.stringify(name)}`);
  return { endpoint, tls: name === DEFAULT_CONTEXT ? {} : readTls(session, name) };
}

export function readTls(session: Session, name: string): TlsMaterial {
  return Object.fromEntries(Object.entries(session.contexts.tlsFiles(name)).map(([part, file]) => [part, read(file)]));
}

function read(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch (thrown) {
    throw new Error(`unable to create docker endpoint config: ${openError(file, thrown).message}`);
  }
}
