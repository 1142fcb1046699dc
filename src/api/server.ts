/**
 * The API's HTTP server: one handler behind any number of listeners.
 *
 *   connection ─▶ limits ─▶ request ─▶ browser guard (TCP) ─▶ clean path ─▶ route ─▶ authorization plugins ─▶ version ─▶ handler
 *
 * What a handler throws becomes Docker's error body.
 */
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import type { ListenOptions, Socket } from "node:net";
import type { TlsOptions } from "node:tls";
import type { Duplex } from "node:stream";
import { type Caller, onBehalfOf } from "../core/caller.ts";
import type { Logger } from "../core/logger.ts";
import { invalidParameter, messageOf } from "../lib/errors.ts";
import { isLeft, leaveArchives, leaveBody } from "./body.ts";
import { type Authorization, authorizeRequest, type Exchange } from "./authorization/exchange.ts";
import { RequestCall } from "./call.ts";
import { type Connections } from "./connections.ts";
import { bodyPassed, boundHalfOpen, boundPauses, endOnce, expectBodyEnd, lingeringClose } from "./lingering.ts";
import { refuseBrowsers } from "./origin.ts";
import { answerOnceSettled, promisesToLast } from "./lasting.ts";
import type { Route } from "./route.ts";
import type { Confinement } from "./scopes.ts";
import { cleanPath, type Match, Router } from "./router.ts";
import { statusOf } from "./status.ts";
import { MAX_API_VERSION, negotiate, splitVersion, wantsPlainErrors } from "./versions.ts";

const http = process.getBuiltinModule("node:http");

const HEAD_MILLISECONDS = 20_000;
/** How often heads are checked, as a part of the time that they may take. */
const HEAD_CHECKS = 10;
const HEAD_BYTES = 128 * 1024;
const HEADERS = 200;
/** How long a connection is silent before the kernel asks whether its other end lives. */
const PROBE_MILLISECONDS = 30_000;
const BACKLOG = 1024;

export interface ApiOptions {
  routes: Iterable<Route>;
  /** Those that come later: until then other requests than those of `routes` wait. When it fails, they are told why. */
  laterRoutes?: Promise<Iterable<Route>>;
  connections: Connections;
  log: Logger;
  serverVersion: string;
  experimental: boolean;
  /** The lowest API version to serve now: a reload may change it. */
  minimumVersion: () => string;
  /** How long the head of a request may take; by default 20 seconds. */
  headMilliseconds?: number;
  /** Who is at the other end of a connection: what events and the audit log tell. */
  callerOf?: (socket: Socket) => () => Caller;
  /** Whether the client has received all that was sent to it; see Call.received. */
  hasReceivedAll?: (socket: Socket) => boolean;
  /** Called with the route and the seconds that its handler took. */
  onHandled?: (route: Route, seconds: number) => void;
  /** Called when a request begins; the function that it gives, when its connection is free again. */
  onRequest?: () => () => void;
  /** Who is asked about every request and its answer. */
  authorization?: () => Authorization | undefined;
  /** Resolves when what requests have changed so far survives a loss of power; undefined: it does. */
  settled?: () => Promise<void> | undefined;
}

export interface ListenerOptions {
  listen: ListenOptions;
  tls?: TlsOptions;
  /** For TCP: the host names that requests may name. Absent: browsers cannot reach this listener. */
  names?: ReadonlySet<string>;
  /** What its clients may do; absent: everything. */
  confinement?: Confinement;
}

/** What a listener holds its clients to. */
type Guards = Pick<ListenerOptions, "names" | "confinement">;

export class ApiServer {
  readonly #options: ApiOptions;
  #router: Router;
  /** Resolves when all routes are there; undefined when they are. */
  #whole: Promise<void> | undefined;
  readonly #servers: Server[] = [];
  #closing = false;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#router = new Router(options.routes);
    this.#whole = options.laterRoutes?.then((later) => {
      this.#router = new Router([...options.routes, ...later]);
      this.#whole = undefined;
    });
    this.#whole?.catch(() => {});
  }

  /** Resolves when connections are accepted. */
  async listen(listener: ListenerOptions): Promise<Server> {
    const server = this.#create(listener);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ backlog: BACKLOG, ...listener.listen }, () => {
        server.removeListener("error", reject);
        resolve();
      });
    });
    server.on("error", (error) => this.#options.log.error(`API listener: ${error.message}`));
    this.#servers.push(server);
    return server;
  }

  /** Accepts no more. Streams are cut, other requests under way get `graceMilliseconds` to end. */
  async close(graceMilliseconds: number): Promise<void> {
    this.#closing = true;
    const closed = Promise.all(this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
    this.#options.connections.closeWaiting();
    this.#options.connections.closeStreams();
    const timer = setTimeout(() => this.#options.connections.closeAll(), graceMilliseconds);
    await closed;
    clearTimeout(timer);
  }

  #create({ tls, ...guards }: ListenerOptions): Server {
    const headersTimeout = this.#options.headMilliseconds ?? HEAD_MILLISECONDS;
    const options: ServerOptions = {
      headersTimeout,
      // Uploads and streams take as long as they take.
      requestTimeout: 0,
      keepAliveTimeout: 0,
      connectionsCheckingInterval: headersTimeout / HEAD_CHECKS,
      maxHeaderSize: HEAD_BYTES,
      requireHostHeader: false,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_MILLISECONDS,
      noDelay: true,
    };
    const handle = (req: IncomingMessage, res: ServerResponse): void => this.#begin(req, res, guards);
    const server = tls === undefined ? http.createServer(options, handle) : process.getBuiltinModule("node:https").createServer({ ...options, ...tls, allowHalfOpen: true, handshakeTimeout: headersTimeout } as TlsOptions, handle);
    server.maxHeadersCount = HEADERS;
    (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
    this.#track(server, tls !== undefined);
    server.on("upgrade", (req, socket, head) => this.#upgraded(req, socket, { head, guards }));
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseMalformed(error, socket));
    return server;
  }

  #track(server: Server, withHandshake: boolean): void {
    const { connections } = this.#options;
    server.on("connection", (socket) => {
      if (withHandshake) return connections.acceptedForHandshake(socket);
      leaveArchives(socket);
      connections.accepted(socket);
    });
    server.on("secureConnection", (socket) => connections.secured(socket));
  }

  /** The request of a client that offers an upgrade: it is answered like any other, unless its handler takes the connection over. */
  #upgraded(req: IncomingMessage, socket: Duplex, { head, guards }: { head: Buffer; guards: Guards }): void {
    socket.on("error", () => socket.destroy());
    if (!leaveBody(req, socket, head) && head.length > 0) socket.unshift(head);
    const res = new http.ServerResponse(req);
    res.shouldKeepAlive = false;
    res.assignSocket(socket as Parameters<ServerResponse["assignSocket"]>[0]);
    res.once("finish", () => lingeringClose(socket));
    this.#begin(req, res, guards);
  }

  #begin(req: IncomingMessage, res: ServerResponse, guards: Guards): void {
    onBehalfOf(this.#options.callerOf?.(req.socket) ?? (() => ({})), () => void this.#handle(req, res, guards));
  }

  async #handle(req: IncomingMessage, res: ServerResponse, { names, confinement }: Guards): Promise<void> {
    const { connections, log } = this.#options;
    const socket = req.socket;
    connections.serving(socket, () => isEndless(req, res));
    const ended = this.#options.onRequest?.();
    res.once("finish", () => {
      if (this.#closing) socket.end(() => socket.destroy());
      else connections.answered(socket);
      if (!req.complete) expectBodyEnd(req);
    });
    if (ended !== undefined) endOnce(req, res, ended);
    boundHalfOpen(req, res);
    boundPauses(req);
    const path = req.url ?? "/";
    log.debug(`Calling ${req.method} ${path}`);
    try {
      if (names !== undefined) refuseBrowsers(req.headers, names);
      await this.#dispatch(req, res, confinement);
    } catch (error) {
      if (!res.shouldKeepAlive && !res.headersSent && !isUpgrade(req)) await bodyPassed(req);
      this.#answerError(req, res, error);
    }
  }

  async #dispatch(req: IncomingMessage, res: ServerResponse, confinement: Confinement | undefined): Promise<void> {
    const target = targetOf(req);
    if (target === undefined) return answerText(res, 400, "400 Bad Request");
    // Go's mux looks at the decoded path.
    const decoded = target.path.includes("%") ? decodeURIComponent(target.path) : target.path;
    const cleaned = cleanPath(decoded);
    if (cleaned !== decoded) {
      res.writeHead(301, { location: (decoded === target.path ? cleaned : encodeURI(cleaned)) + target.search });
      res.end();
      return;
    }
    const method = req.method as string;
    const { version, path } = splitVersion(target.path);
    const find = (): Match | undefined => (method === "OPTIONS" ? undefined : (this.#router.find(method, path) ?? (version === undefined ? undefined : this.#router.find(method, target.path))));
    let match = find();
    if (match === undefined && this.#whole !== undefined) {
      await this.#whole;
      if (req.socket.destroyed) return;
      match = find();
    }
    if (match === undefined && method !== "OPTIONS") {
      if (!isLeft(req)) res.removeHeader("connection");
      return answerJson(res, 404, "page not found");
    }
    this.#setHeaders(res);
    const exchange = await this.#authorized(req, res);
    try {
      await this.#serve(req, res, { match, version, search: target.search, confinement });
    } catch (error) {
      await exchange?.failed();
      throw error;
    }
    await exchange?.handled(res);
  }

  async #serve(req: IncomingMessage, res: ServerResponse, { match, version, search, confinement }: { match: Match | undefined; version: string | undefined; search: string; confinement: Confinement | undefined }): Promise<void> {
    const negotiated = negotiate(version, this.#options.minimumVersion());
    if (match === undefined) {
      res.writeHead(200, { "content-length": 0 });
      res.end();
      return;
    }
    const { route, params } = match;
    if (route.since !== undefined && (negotiated[0] < route.since[0] || (negotiated[0] === route.since[0] && negotiated[1] < route.since[1]))) {
      throw invalidParameter(`${route.method} ${route.path.replace(/\{(\w+)\.\.\.\}/g, "{$1:.*}")} requires minimum API version ${route.since.join(".")}`);
    }
    confinement?.check(route);
    const { settled } = this.#options;
    if (settled && promisesToLast(route)) answerOnceSettled(res, settled);
    const begun = performance.now();
    try {
      await route.handler(new RequestCall({ req, res, params, query: queryOf(search), version: negotiated, confinement }, this.#options.hasReceivedAll));
    } finally {
      this.#options.onHandled?.(route, (performance.now() - begun) / 1000);
    }
  }

  /** Undefined when there is nobody to ask. */
  async #authorized(req: IncomingMessage, res: ServerResponse): Promise<Exchange | undefined> {
    const authorization = this.#options.authorization?.();
    if (authorization === undefined || authorization.isEmpty) return undefined;
    const { log } = this.#options;
    try {
      const exchange = await authorizeRequest(authorization, req);
      exchange.hold(res, (error) => {
        log.error(`AuthZResponse for ${req.method} ${req.url} returned error: ${messageOf(error)}`);
        this.#answerError(req, res, error);
      });
      return exchange;
    } catch (error) {
      log.error(`AuthZRequest for ${req.method} ${req.url} returned error: ${messageOf(error)}`);
      throw error;
    }
  }

  #setHeaders(res: ServerResponse): void {
    // As Go's server: HTTP/1.1 connections stay open without being told so.
    if (isLeft(res.req)) res.setHeader("Connection", "close");
    else res.removeHeader("connection");
    res.setHeader("Api-Version", MAX_API_VERSION);
    res.setHeader("Docker-Experimental", String(this.#options.experimental));
    res.setHeader("Ostype", "linux");
    res.setHeader("Server", `Docker/${this.#options.serverVersion} (linux)`);
  }

  #answerError(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    if (req.socket.destroyed || (error instanceof Error && error.name === "AbortError")) {
      this.#options.log.debug(`the client of ${req.method} ${req.url} went away: ${messageOf(error)}`);
      req.socket.destroy();
      return;
    }
    const status = statusOf(error);
    const message = messageOf(error);
    if (status >= 500 && status !== 501) this.#options.log.error(`Handler for ${req.method} ${req.url} returned error: ${message}`, { status });
    if (status === 500 && error instanceof Error && error.stack !== undefined) this.#options.log.debug(error.stack);
    if (res.headersSent || res.socket === null) {
      // Too late for a status: a cut connection tells that the answer is not whole.
      res.destroy();
      if (res.socket === null) req.socket.destroy();
      return;
    }
    if (status === 304) {
      res.writeHead(304);
      res.end();
    } else if (wantsPlainErrors(splitVersion(req.url ?? "/").version)) {
      res.setHeader("X-Content-Type-Options", "nosniff");
      answerText(res, status, `${message}\n`);
    } else answerJson(res, status, message);
  }
}

/** A taken-over connection, or an answer that has begun and goes on until somebody else ends it: changes under way are none. */
function isEndless(req: IncomingMessage, res: ServerResponse): boolean {
  if (res.socket === null) return true;
  return res.headersSent && (req.method === "GET" || /\/wait(\?|$)/.test(req.url ?? ""));
}

interface Target {
  path: string;
  /** With its question mark; "" without one. */
  search: string;
}

/** Undefined when the path is malformed. */
function targetOf(req: IncomingMessage): Target | undefined {
  const text = (req.url ?? "/").replace(/^https?:\/\/[^/?]*/i, "");
  const question = text.indexOf("?");
  const path = (question < 0 ? text : text.slice(0, question)) || "/";
  if (/%(?![0-9a-f]{2})/i.test(path)) return undefined;
  if (path.includes("%")) {
    try {
      decodeURIComponent(path);
    } catch {
      return undefined;
    }
  }
  return { path, search: question < 0 ? "" : text.slice(question) };
}

function queryOf(search: string): URLSearchParams {
  const wrong = /%(?![0-9a-f]{2}).{0,2}/i.exec(search);
  if (wrong !== null) throw invalidParameter(`invalid URL escape ${JSON.stringify(wrong[0])}`);
  if (search.includes(";")) throw invalidParameter("invalid semicolon separator in query");
  return new URLSearchParams(search);
}

function answerJson(res: ServerResponse, status: number, message: string): void {
  const body = Buffer.from(`${JSON.stringify({ message })}\n`);
  res.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  res.end(body);
}

function answerText(res: ServerResponse, status: number, text: string): void {
  const body = Buffer.from(text);
  res.writeHead(status, { "content-type": "text/plain; charset=utf-8", "content-length": body.length });
  res.end(body);
}

/** What Node's parser could not read. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || socket.destroyed || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${status}`);
  lingeringClose(socket);
}

const isUpgrade = (req: IncomingMessage): boolean => req.headers.upgrade !== undefined;
