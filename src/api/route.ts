/** What a route is and what its handler gets. server.ts matches, decodes the version and turns thrown errors into Docker's error bodies. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Confinement } from "./scopes.ts";

export interface Route {
  method: "GET" | "POST" | "PUT" | "DELETE" | "HEAD";
  /** Without the version, as "/containers/{name}/json". "{name...}" spans slashes. */
  path: string;
  /** The lowest API version that knows it, as 1.25 is [1, 25]. */
  since?: ApiVersion;
  handler: (call: Call) => Promise<void> | void;
}

export type ApiVersion = readonly [major: number, minor: number];

export interface Call {
  req: IncomingMessage;
  res: ServerResponse;
  params: Record<string, string>;
  query: URLSearchParams;
  version: ApiVersion;
  /** Of a socket that may do less than everything. */
  confinement: Confinement | undefined;
  /** Aborted when the client goes away before the answer is complete. */
  signal: AbortSignal;
  /** Takes the connection over, answering 101 (with an Upgrade header) or 200 as Docker does; `contentType` is the raw or multiplexed stream type. Half-close survives. */
  hijack: (contentType: string) => Duplex;
  /**
   * After `hijack`: settles when the client has received all that was sent, or has not for so long, by default two seconds. What is
   * sent before the head is received may reach the client in one piece with it, and clients that read the head into a buffer
   * (docker-py's exec and attach) lose it.
   */
  received: (milliseconds?: number) => Promise<void>;
}

/** True when the client's version is at least `minor` of API 1. */
export const atLeast = (version: ApiVersion, minor: number): boolean => version[0] > 1 || (version[0] === 1 && version[1] >= minor);

/** Go's strconv.ParseBool as Docker's httputils.BoolValue uses it: "", "0", "no", "false", "none" (any case) are false. */
export function boolQuery(query: URLSearchParams, key: string): boolean {
  const value = (query.get(key) ?? "").trim().toLowerCase();
  return !(value === "" || value === "0" || value === "no" || value === "false" || value === "none");
}

/** Answers with JSON; Docker's encoder ends it with a newline. */
export function sendJson(call: Call, status: number, value: unknown): void {
  sendJsonText(call, status, `${JSON.stringify(value)}\n`);
}

/** Answers with text, or its bytes, that is JSON already. Text leaves together with the head. */
export function sendJsonText(call: Call, status: number, text: string | Buffer): void {
  call.res.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  call.res.end(text);
}

/** Answers with plain text. */
export function sendText(call: Call, text: string): void {
  const body = Buffer.from(text);
  call.res.writeHead(200, { "content-type": "text/plain; charset=utf-8", "content-length": body.length });
  call.res.end(body);
}

/** Answers without a body. */
export function sendEmpty(call: Call, status: number): void {
  call.res.writeHead(status);
  call.res.end();
}
