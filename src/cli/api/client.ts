/** The client of the Engine API: one daemon, one negotiated version, errors in Docker's words. */
import type { Socket } from "node:net";
import type { Endpoint } from "./endpoint.ts";
import type { Connection } from "./reader.ts";
import { HttpConnection } from "./http.ts";
import type { HttpResponse } from "./http.ts";

export const MAX_API_VERSION = "1.56";
/** Daemons that do not tell their version are taken for this one. */
const OLDEST_API_VERSION = "1.24";

/** An answer that is an error, or a daemon that cannot be reached (status 0). */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type Query = Record<string, string | number | boolean | string[] | undefined>;

export interface Call {
  query?: Query;
  /** Becomes JSON; bytes and streams go as they are. */
  json?: unknown;
  body?: Uint8Array | AsyncIterable<Uint8Array>;
  headers?: Record<string, string>;
}

export interface Ping {
  apiVersion: string | undefined;
  osType: string;
  experimental: boolean;
  swarm: string | undefined;
}

export interface ClientOptions {
  endpoint: Endpoint;
  /** Sent with every request, before the client's own. */
  headers?: Record<string, string>;
  /** Fixes the version: no negotiation. */
  apiVersion?: string | undefined;
  userAgent: string;
  /** Called once when no daemon has answered yet; true means: try again. One that was there and is gone was ended by somebody. */
  onUnreachable?: (() => Promise<boolean>) | undefined;
  log?: ((message: string) => void) | undefined;
}

export class ApiClient {
  readonly #options: ClientOptions;
  #idle: HttpConnection | undefined;
  #version: string | undefined;
  #ping: Promise<Ping> | undefined;
  #recovered = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#version = options.apiVersion;
  }

  get host(): string {
    return this.#options.endpoint.host;
  }

  /** Asks who is there; asked once, later calls answer from memory. */
  ping(): Promise<Ping> {
    this.#ping ??= this.#askPing();
    return this.#ping;
  }

  /** A connection of its own to a daemon that answers. */
  async dial(): Promise<Connection> {
    await this.ping();
    return await this.#options.endpoint.dial();
  }

  async version(): Promise<string> {
    if (this.#version === undefined) {
      const { apiVersion } = await this.ping();
      const offered = apiVersion ?? OLDEST_API_VERSION;
      this.#version = compareVersions(offered, MAX_API_VERSION) < 0 ? offered : MAX_API_VERSION;
    }
    return this.#version;
  }

  /** The answer's JSON. Throws ApiError. */
  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const text = await this.text(method, path, call);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  async text(method: string, path: string, call: Call = {}): Promise<string> {
    return readAll((await this.stream(method, path, call)).body);
  }

  /** An answer whose body is still to be read. Throws ApiError unless the status is below 400. */
  async stream(method: string, path: string, call: Call = {}): Promise<HttpResponse> {
    const target = await this.#target(path, call.query);
    const response = await this.#send(method, target, call);
    if (response.status >= 400) throw await responseError(response, target);
    return response;
  }

  /** Turns a request into a raw stream in both directions. */
  async hijack(path: string, call: Call = {}): Promise<{ socket: Socket; body: AsyncIterable<Buffer>; contentType: string | undefined }> {
    const target = await this.#target(path, call.query);
    const response = await this.#send("POST", target, { ...call, headers: { ...call.headers, Connection: "Upgrade", Upgrade: "tcp" } });
    if (response.status >= 400) throw await responseError(response, target);
    if (!response.raw) throw new ApiError(response.status, `unable to upgrade to tcp, received ${response.status}`);
    return { socket: response.raw.socket, body: response.body, contentType: response.headers.get("content-type") };
  }

  close(): void {
    this.#idle?.socket.destroy();
    this.#idle = undefined;
  }

  async #askPing(): Promise<Ping> {
    const response = await this.#send("HEAD", "/_ping", {});
    return {
      apiVersion: response.headers.get("api-version"),
      osType: response.headers.get("ostype") || "linux",
      experimental: response.headers.get("docker-experimental") === "true",
      swarm: response.headers.get("swarm"),
    };
  }

  async #target(path: string, query: Query | undefined): Promise<string> {
    return `/v${await this.version()}${path}${queryString(query)}`;
  }

  async #send(method: string, path: string, call: Call): Promise<HttpResponse> {
    const { endpoint, headers, userAgent, log } = this.#options;
    const body = call.json === undefined ? call.body : Buffer.from(JSON.stringify(call.json));
    const request = {
      method,
      path,
      headers: {
        Host: endpoint.socketPath === undefined ? endpoint.address : "api.moby.localhost",
        ...headers,
        "User-Agent": userAgent,
        ...(call.json === undefined ? {} : { "Content-Type": "application/json" }),
        ...call.headers,
      },
      body,
    };
    log?.(`${method} ${path}`);
    const idle = this.#takeIdle();
    try {
      return await (idle ?? (await this.#connect())).send(request);
    } catch (thrown) {
      if (idle && isReset(thrown) && (body === undefined || body instanceof Uint8Array)) return await (await this.#connect()).send(request);
      throw connectionError(thrown, endpoint);
    }
  }

  #takeIdle(): HttpConnection | undefined {
    const idle = this.#idle;
    this.#idle = undefined;
    if (!idle || idle.socket.destroyed) return undefined;
    idle.socket.ref();
    return idle;
  }

  async #connect(): Promise<HttpConnection> {
    for (;;) {
      try {
        const socket = await this.#options.endpoint.dial();
        this.#recovered = true;
        return new HttpConnection(socket, (connection) => this.#keep(connection));
      } catch (thrown) {
        if (this.#recovered || !this.#options.onUnreachable) throw thrown;
        this.#recovered = true;
        if (!(await this.#options.onUnreachable())) throw thrown;
      }
    }
  }

  #keep(connection: HttpConnection): void {
    if (this.#idle) {
      connection.socket.destroy();
      return;
    }
    connection.socket.unref();
    this.#idle = connection;
  }
}

export function compareVersions(one: string, two: string): number {
  const [left, right] = [one, two].map((version) => version.split(".").map(Number));
  for (let index = 0; index < Math.max(left?.length ?? 0, right?.length ?? 0); index++) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Reads a body as text. */
export async function readAll(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** A query in the order of Go's url.Values: sorted by name. */
function queryString(query: Query | undefined): string {
  const parts: string[] = [];
  for (const name of Object.keys(query ?? {}).sort()) {
    const value = query?.[name];
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value === true ? "1" : value === false ? "0" : String(value)]) {
      parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(item).replace(/%20/g, "+")}`);
    }
  }
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

const NAMED = /^\/(container|network|volume|plugin)s\/$/;

/** A path with its ids and names escaped: path`/containers/${name}/json`. */
export function path(parts: TemplateStringsArray, ...values: string[]): string {
  const kind = NAMED.exec(parts[0] ?? "")?.[1];
  if (kind !== undefined && values[0]?.trim() === "") throw new Error(`invalid ${kind} name or ID: value is empty`);
  return parts.reduce((text, part, index) => text + encodeURIComponent(values[index - 1] ?? "").replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%40/g, "@") + part);
}

async function responseError(response: HttpResponse, target: string): Promise<ApiError> {
  const body = (await readAll(response.body)).trim();
  const { status } = response;
  if (body === "") return new ApiError(status, `request returned ${status} ${response.reason} for API route and version ${target}, check if the server supports the requested API version`);
  if (response.headers.get("content-type") !== "application/json") return new ApiError(status, `Error response from daemon: ${body}`);
  try {
    const { message } = JSON.parse(body) as { message?: string };
    const shown = message ? message.trim() : `API returned a ${status} (${response.reason}) but provided no error-message`;
    return new ApiError(status, `Error response from daemon: ${shown}`);
  } catch (thrown) {
    return new ApiError(status, `error reading JSON: ${(thrown as Error).message}`);
  }
}

const isReset = (thrown: unknown): boolean => thrown instanceof Error && (thrown.message === "EOF" || /ECONNRESET|EPIPE/.test((thrown as NodeJS.ErrnoException).code ?? ""));

function connectionError(thrown: unknown, endpoint: Endpoint): ApiError {
  if (thrown instanceof ApiError) return thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  const { host } = endpoint;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return new ApiError(0, `permission denied while trying to connect to the docker API at ${host}`);
    case "ENOENT":
      return new ApiError(0, `failed to connect to the docker API at ${host}; check if the path is correct and if the daemon is running: dial unix ${endpoint.socketPath}: connect: no such file or directory`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new ApiError(0, `failed to connect to the docker API at ${host}: lookup ${endpoint.address.replace(/:\d+$/, "")}: no such host`);
    case "ECONNREFUSED":
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return new ApiError(0, `Cannot connect to the Docker daemon at ${host}. Is the docker daemon running?`);
  }
  if (/malformed HTTP response/.test(message) && !endpoint.secure) return new ApiError(0, `${message}.\n* Are you trying to connect to a TLS-enabled daemon without TLS?`);
  if (/alert (bad certificate|handshake failure|number 4[0-9])|certificate required/i.test(message)) {
    return new ApiError(0, `the server probably has client authentication (--tlsverify) enabled; check your TLS client certification settings: ${message}`);
  }
  return new ApiError(0, `error during connect: ${message}`);
}
