/** What goes wrong below HTTP, in the words of Go's net/http, which users and scripts know. */
import { GantryError, messageOf, systemError } from "../../lib/errors.ts";
import { hostnameOf } from "../../lib/proxy.ts";

const certificateReasons: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate signed by unknown authority",
  SELF_SIGNED_CERT_IN_CHAIN: "certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT: "certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "certificate signed by unknown authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "certificate signed by unknown authority",
  CERT_HAS_EXPIRED: "certificate has expired or is not yet valid",
  CERT_NOT_YET_VALID: "certificate has expired or is not yet valid",
};

const endings: Record<string, string> = { "socket hang up": "EOF", "aborted": "unexpected EOF", "unexpected EOF": "unexpected EOF" };

/** The peer does not speak TLS. */
const plainCodes = new Set(["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG", "ERR_SSL_HTTP_REQUEST", "EPROTO"]);
const refusalCodes = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]);
const brokenCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ETIMEDOUT", "ERR_STREAM_PREMATURE_CLOSE", "HPE_INVALID_EOF_STATE"]);

const codeIn = (thrown: unknown): string => {
  const cause = thrown instanceof GantryError ? thrown.cause : thrown;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (typeof code === "string") return code;
  /* A host with several addresses has an error for each. */
  const [first] = cause instanceof AggregateError ? (cause.errors as NodeJS.ErrnoException[]) : [];
  return first?.code ?? "";
};

export const isPlainPeer = (thrown: unknown): boolean => plainCodes.has(codeIn(thrown));
export const isRefusal = (thrown: unknown): boolean => refusalCodes.has(codeIn(thrown)) || codeIn(thrown) === "ETIMEDOUT";
/** The connection broke: another try may succeed. */
export const isBroken = (thrown: unknown): boolean => brokenCodes.has(codeIn(thrown));

export function connectionError(thrown: unknown, { method, url }: { method: string; url: URL }): GantryError {
  if (thrown instanceof GantryError) return thrown;
  if ((thrown as Error | undefined)?.name === "AbortError") return new GantryError("cancelled", "context canceled", { cause: thrown });
  const verb = method.charAt(0) + method.slice(1).toLowerCase();
  return systemError(`${verb} ${JSON.stringify(shownUrl(url))}: ${reasonOf(thrown, url)}`, thrown);
}

function reasonOf(thrown: unknown, url: URL): string {
  const code = codeIn(thrown);
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const address = `${url.hostname}:${port}`;
  const certificate = certificateReasons[code];
  if (certificate !== undefined) return `tls: failed to verify certificate: x509: ${certificate}`;
  if (isPlainPeer(thrown) && url.protocol === "https:" && code !== "EPROTO") return "http: server gave HTTP response to HTTPS client";
  switch (code) {
    case "ECONNREFUSED":
      return `dial tcp ${address}: connect: connection refused`;
    case "EHOSTUNREACH":
      return `dial tcp ${address}: connect: no route to host`;
    case "ENETUNREACH":
      return `dial tcp ${address}: connect: network is unreachable`;
    case "ENOTFOUND":
      return `dial tcp: lookup ${hostnameOf(url)}: no such host`;
    case "EAI_AGAIN":
      return `dial tcp: lookup ${hostnameOf(url)}: server misbehaving`;
    case "ECONNRESET":
      return endings[messageOf(thrown)] ?? "read: connection reset by peer";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `tls: failed to verify certificate: x509: ${messageOf(thrown)}`;
    default:
      return messageOf(thrown);
  }
}

const harmless = new Set(["ns", "q", "n", "last", "mount", "from", "digest", "service", "scope"]);

/** Without secrets: signed addresses of storage carry them in their query. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  for (const key of new Set(shown.searchParams.keys())) if (!harmless.has(key)) shown.searchParams.set(key, "REDACTED");
  return shown.href;
}
