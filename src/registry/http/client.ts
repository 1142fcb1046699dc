/** HTTP/1.1 requests to registries and token servers, one at a time each: TLS, proxies, time limits, cancellation. */
import type { Agent, ClientRequest, IncomingHttpHeaders, IncomingMessage, RequestOptions } from "node:http";
import type { TcpNetConnectOpts } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContext } from "node:tls";
import type { AnswerBody } from "../../lib/connection-body.ts";
import { GantryError } from "../../lib/errors.ts";
import { parseIp } from "../../lib/ip.ts";
import { bulkGet } from "./bulk.ts";
import { connectionError } from "./connection-error.ts";
import { type ProxySettings, proxyFor } from "../../lib/proxy.ts";
import { connectBySocks, isSocks } from "../../lib/socks.ts";
import { secureContext, tlsKey, type TlsSettings } from "./tls-settings.ts";

export interface HttpRequest {
  method: string;
  url: URL;
  headers: Record<string, string>;
  /** A stream needs a content-length among the headers. */
  body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  tls: TlsSettings;
  /** A GET whose body is large: its chunks hold only until the next one is asked for. */
  bulk?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Until the connection is there; the default is 30 s. */
  dialMilliseconds?: number | undefined;
}

export interface HttpResponse {
  method: string;
  url: URL;
  status: number;
  /** "404 Not Found" */
  statusLine: string;
  headers: IncomingHttpHeaders;
  /** Must be read to its end, or given up by discard(). */
  body: AsyncIterable<Uint8Array>;
  /** Keeps the connection when little is left. */
  discard(): void;
  /** Instead of reading the body, which has this length: it is left in the connection, until discard(). Undefined when that cannot be. */
  leave?(length: number): AnswerBody | undefined;
}

export interface HttpLimits {
  /** For each wait for bytes of an answer's body. */
  stallMilliseconds: number;
  /** For the answer's beginning, after the request was sent. */
  answerMilliseconds: number;
}

const dialMilliseconds = 30_000;
const idleMilliseconds = 15_000;
const mostToDrain = 64 << 10;

export class HttpClient {
  readonly #proxies: ProxySettings;
  readonly #limits: HttpLimits;
  readonly #agents = new Map<string, Agent>();
  readonly #contexts = new Map<string, SecureContext>();

  constructor(proxies: ProxySettings, limits: HttpLimits = { stallMilliseconds: 60_000, answerMilliseconds: 300_000 }) {
    this.#proxies = proxies;
    this.#limits = limits;
  }

  /** Any status is an answer. Throws "cancelled" or "system" with what Go's net/http would say; its cause is Node's error. */
  async send(request: HttpRequest): Promise<HttpResponse> {
    try {
      return await this.#exchange(request);
    } catch (cause) {
      throw connectionError(cause, request);
    }
  }

  /** Closes idle connections. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
    this.#contexts.clear();
  }

  async #exchange(request: HttpRequest): Promise<HttpResponse> {
    const { method, url, body, signal } = request;
    signal?.throwIfAborted();
    if (request.bulk === true && proxyFor(url, this.#proxies) === undefined) {
      const context = url.protocol === "https:" ? this.#contextFor(request.tls) : undefined;
      return bulkGet(request, { secureContext: context, dialMilliseconds: request.dialMilliseconds ?? dialMilliseconds, stallMilliseconds: this.#limits.stallMilliseconds });
    }
    const streamed = body !== undefined && !(body instanceof Uint8Array);
    const options: RequestOptions = {
      method,
      agent: this.#agentFor(request),
      headers: { ...request.headers, ...(streamed || (body === undefined && (method === "GET" || method === "HEAD")) ? {} : { "content-length": String(body?.length ?? 0) }) },
      ...(signal ? { signal } : {}),
    };
    const client = url.protocol === "https:" ? process.getBuiltinModule("node:https") : process.getBuiltinModule("node:http");
    const sent = client.request(url, options);
    limitDial(sent, request.dialMilliseconds ?? dialMilliseconds);
    const answer = answerOf(sent, this.#limits.answerMilliseconds);
    if (streamed) await upload(sent, body, answer);
    else sent.end(body);
    return responseOf(await answer, request, this.#limits.stallMilliseconds);
  }

  #contextFor(tls: TlsSettings): SecureContext {
    const key = tlsKey(tls);
    const context = this.#contexts.get(key) ?? secureContext(tls);
    this.#contexts.set(key, context);
    return context;
  }

  #connectBySocks(proxy: URL, tls: TlsSettings): CreateConnection {
    return (options, connected) => {
      const { host = "", port, servername, ...rest } = options as TcpNetConnectOpts & { servername?: string; secureEndpoint?: boolean };
      const target = { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
      const open = async (): Promise<Duplex> => {
        const socket = await connectBySocks(proxy, target, dialMilliseconds);
        if (!("secureContext" in rest)) return socket;
        const name = servername ?? (parseIp(target.host) ? undefined : target.host);
        return process.getBuiltinModule("node:tls").connect({ socket, secureContext: this.#contextFor(tls), rejectUnauthorized: !tls.skipVerify, host: target.host, ...(name === undefined ? {} : { servername: name }) });
      };
      open().then((socket) => connected?.(null, socket), (error: Error) => connected?.(error, undefined as unknown as Duplex));
      return undefined;
    };
  }

  #agentFor({ url, tls }: HttpRequest): Agent {
    const secure = url.protocol === "https:";
    const proxy = proxyFor(url, this.#proxies);
    const key = `${url.protocol} ${proxy ?? ""}\n${secure ? tlsKey(tls) : ""}`;
    let agent = this.#agents.get(key);
    if (!agent) {
      const bySocks = proxy !== undefined && isSocks(proxy);
      const shared = { keepAlive: true, timeout: idleMilliseconds, ...(proxy === undefined || bySocks ? {} : { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }) };
      const { Agent: PlainAgent } = process.getBuiltinModule("node:http");
      const { Agent: SecureAgent } = process.getBuiltinModule("node:https");
      agent = secure ? new SecureAgent({ ...shared, secureContext: this.#contextFor(tls), rejectUnauthorized: !tls.skipVerify }) : new PlainAgent(shared);
      if (bySocks) agent.createConnection = this.#connectBySocks(new URL(proxy), tls);
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

type CreateConnection = Agent["createConnection"];

/** A connection that takes too long to come about is given up. */
function limitDial(sent: ClientRequest, milliseconds: number): void {
  sent.once("socket", (socket) => {
    if (!socket.connecting && sent.reusedSocket) return;
    const timer = setTimeout(() => sent.destroy(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" })), milliseconds);
    const done = (): void => clearTimeout(timer);
    socket.once("encrypted" in socket ? "secureConnect" : "connect", done);
    sent.once("close", done);
    sent.once("response", done);
  });
}

function answerOf(sent: ClientRequest, milliseconds: number): Promise<IncomingMessage> {
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    sent.once("finish", () => {
      timer = setTimeout(() => sent.destroy(Object.assign(new Error("timeout awaiting response headers"), { code: "ETIMEDOUT" })), milliseconds);
    });
    sent.once("response", (response) => {
      clearTimeout(timer);
      resolve(response);
    });
    sent.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    sent.once("close", () => clearTimeout(timer));
  });
  answer.catch(() => undefined);
  return answer;
}

/** Sends a body, until its end or until the registry answers, or nothing can be sent any more, before that. */
async function upload(sent: ClientRequest, body: AsyncIterable<Uint8Array>, answer: Promise<IncomingMessage>): Promise<void> {
  const over = answer.then(
    () => undefined,
    () => undefined,
  );
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), over]);
      if (next === undefined) {
        chunks.return?.().catch(() => undefined);
        /* The rest of the body is still owed: this connection is of no use to others. */
        return void answer.then((message) => message.once("close", () => sent.destroy())).catch(() => undefined);
      }
      if (next.done === true) break;
      if (!sent.write(next.value)) await Promise.race([new Promise<void>((resolve) => sent.once("drain", resolve)), over]);
    }
  } catch (error) {
    sent.destroy();
    throw error;
  }
  sent.end();
}

function responseOf(message: IncomingMessage, { method, url }: HttpRequest, stallMilliseconds: number): HttpResponse {
  const { statusCode: status = 0, statusMessage = "", headers } = message;
  const statusLine = `${status} ${process.getBuiltinModule("node:http").STATUS_CODES[status] ?? statusMessage}`;
  return { method, url, status, statusLine, headers, body: bodyOf(message, { method, url }, stallMilliseconds), discard: () => discard(message) };
}

/** Waits for bytes only so long; while the reader is busy no time passes. */
async function* bodyOf(message: IncomingMessage, request: { method: string; url: URL }, stallMilliseconds: number): AsyncGenerator<Uint8Array> {
  const stalled = (): NodeJS.Timeout => setTimeout(() => message.destroy(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" })), stallMilliseconds);
  let timer = stalled();
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      yield chunk;
      timer = stalled();
    }
  } catch (cause) {
    throw connectionError(cause, request);
  } finally {
    clearTimeout(timer);
  }
}

function discard(message: IncomingMessage): void {
  const length = Number(message.headers["content-length"] ?? Number.NaN);
  if (message.complete || length <= mostToDrain) message.resume();
  else message.destroy();
  message.on("error", () => undefined);
}

/** A whole body, when it is not longer than so many bytes; more is refused. */
export async function readBody(response: HttpResponse, mostBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > mostBytes) throw new GantryError("system", `the answer of ${response.url.host} is larger than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
