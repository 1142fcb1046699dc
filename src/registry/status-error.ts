/** Answers of registries as errors, as Docker tells them to its clients. */
import { type ErrorCode, GantryError, notFound, systemError } from "../lib/errors.ts";
import { type HttpResponse, readBody } from "./http/client.ts";
import { shownUrl } from "./http/connection-error.ts";

const mostErrorBytes = 64_000;

/** Messages of the distribution-spec's error codes, for errors that have none of their own. */
const messages: Record<string, string> = {
  UNKNOWN: "unknown error",
  UNSUPPORTED: "The operation is unsupported.",
  UNAUTHORIZED: "authentication required",
  DENIED: "requested access to the resource is denied",
  UNAVAILABLE: "service unavailable",
  TOOMANYREQUESTS: "too many requests",
  MANIFEST_UNKNOWN: "manifest unknown",
  NAME_UNKNOWN: "repository name not known to registry",
  BLOB_UNKNOWN: "blob unknown to registry",
};

const kinds: Record<string, ErrorCode> = {
  UNSUPPORTED: "not-implemented",
  UNAUTHORIZED: "unauthorized",
  DENIED: "forbidden",
  UNAVAILABLE: "unavailable",
};

export interface RegistryError {
  code: string;
  message: string;
  detail: unknown;
}

/** The errors of a body (distribution-spec, "Error Codes"); none when it is something else. */
export function readErrors(body: Uint8Array): RegistryError[] {
  try {
    const json = JSON.parse(Buffer.from(body).toString()) as { errors?: unknown } | null;
    if (!Array.isArray(json?.errors)) return [];
    return (json.errors as unknown[]).slice(0, 10).map((entry) => {
      const { code, message, detail } = (entry ?? {}) as Record<string, unknown>;
      const name = typeof code === "string" ? code.toUpperCase() : "UNKNOWN";
      return { code: name, message: printable(typeof message === "string" && message !== "" ? message : (messages[name] ?? name.toLowerCase().replaceAll("_", " "))), detail };
    });
  } catch {
    return [];
  }
}

/** The error of an answer whose status is one; its body is read. */
export async function statusError(response: HttpResponse, prefix = ""): Promise<GantryError> {
  let body: Uint8Array = new Uint8Array();
  try {
    body = await readBody(response, mostErrorBytes);
  } catch {
    /* The status says enough. */
  }
  return answeredError(response, body, prefix);
}

/** `prefix` says what was tried, where the registry gives no reason of its own. */
export function answeredError(response: Pick<HttpResponse, "method" | "url" | "status" | "statusLine">, body: Uint8Array, prefix = ""): GantryError {
  const errors = readErrors(body);
  if (errors.length > 0) return registryError(errors);
  const details = detailsOf(body);
  if (details !== undefined && response.status === 401) return new GantryError("unauthorized", `authentication required - ${details}`);
  if (details !== undefined && response.status === 403) return new GantryError("forbidden", `requested access to the resource is denied - ${details}`);
  return systemError(`unknown: ${prefix}${unexpectedStatus(response)}`);
}

export const unexpectedStatus = ({ method, url, statusLine }: Pick<HttpResponse, "method" | "url" | "statusLine">): string => `unexpected status from ${method} request to ${shownUrl(url)}: ${statusLine}`;

function registryError(errors: readonly RegistryError[]): GantryError {
  const told = errors.map(({ message, detail }) => (typeof detail === "string" && detail !== "" ? `${message} - ${printable(detail)}` : message));
  return new GantryError(kinds[errors[0]?.code ?? ""] ?? "system", `error from registry: ${told.join("\n")}`);
}

/** Old registries and token servers have {"details": "..."}. */
function detailsOf(body: Uint8Array): string | undefined {
  try {
    const json = JSON.parse(Buffer.from(body).toString()) as { details?: unknown } | null;
    return typeof json?.details === "string" && json.details !== "" ? printable(json.details) : undefined;
  } catch {
    return undefined;
  }
}

const printable = (text: string): string => text.slice(0, 1000).replace(/[^\P{Cc}\t\n]/gu, "?");

/** "not found", as the distribution endpoint and tag lists tell it: "manifest unknown: manifest unknown". */
export function listedError(response: HttpResponse, body: Uint8Array): GantryError {
  const errors = readErrors(body);
  const [first] = errors;
  if (!first) return answeredError(response, body);
  const text = errors.map(({ code, message }) => `${code.toLowerCase().replaceAll("_", " ")}: ${message}`).join("\n");
  if (response.status === 404) return notFound(text);
  return new GantryError(kinds[first.code] ?? "system", text);
}
