/** API versions in request paths, compared as Docker compares them, and the texts for those that are not served. */
import { invalidParameter } from "../lib/errors.ts";
import type { ApiVersion } from "./route.ts";

export const MAX_API_VERSION = "1.56";
/** What this daemon can serve at all, and serves unless it is told to ask for more. */
export const MIN_API_VERSION = "1.24";

/** A path with a version has this form; what follows the "v" need not be a sensible version. */
const VERSIONED = /^\/v([0-9.]+)(?=\/)/;

export interface VersionedPath {
  /** As the client wrote it, without the "v"; undefined when the path has none. */
  version: string | undefined;
  path: string;
}

export function splitVersion(path: string): VersionedPath {
  const match = VERSIONED.exec(path);
  if (match === null) return { version: undefined, path };
  return { version: match[1], path: path.slice(match[0].length) };
}

/** Negative, zero or positive; parts that are missing or no number count as 0. */
export function compareVersions(left: string, right: string): number {
  const a = left.split(".");
  const b = right.split(".");
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = Number(a[index] ?? 0) - Number(b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The version to serve a request with. Throws Docker's refusal when it is out of the range. */
export function negotiate(version: string | undefined, minimum: string): ApiVersion {
  const wanted = version ?? MAX_API_VERSION;
  if (compareVersions(wanted, minimum) < 0) {
    throw invalidParameter(`client version ${wanted} is too old. Minimum supported API version is ${minimum}, please upgrade your client to a newer version`);
  }
  if (compareVersions(wanted, MAX_API_VERSION) > 0) throw invalidParameter(`client version ${wanted} is too new. Maximum supported API version is ${MAX_API_VERSION}`);
  const [major = "0", minor = "0"] = wanted.split(".");
  return [Number(major), Number(minor)];
}

/** Clients older than API 1.24 print an error's body as it is: they get plain text. */
export const wantsPlainErrors = (version: string | undefined): boolean => version !== undefined && compareVersions(version, "1.24") < 0;

/** Checks what DOCKER_MIN_API_VERSION or "min-api-version" says. Throws with Docker's reason. */
export function checkMinimumVersion(text: string): void {
  if (text === "") throw invalidParameter("value is empty");
  if (/^v/i.test(text)) throw invalidParameter('API version must be provided without "v" prefix');
  if (compareVersions(text, MIN_API_VERSION) < 0) throw invalidParameter(`minimum supported API version is ${MIN_API_VERSION}: ${text}`);
  if (compareVersions(text, MAX_API_VERSION) > 0) throw invalidParameter(`maximum supported API version is ${MAX_API_VERSION}: ${text}`);
}
