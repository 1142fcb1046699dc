/**
 * A request and its answer as authorization plugins are told of them.
 *
 *   request ─▶ plugins ─▶ handler ─▶ answer, held ─▶ plugins ─▶ client
 *
 * An answer is held until its end. One that is written in pieces is a stream: it passes, and plugins are asked, without being
 * told of what has passed, when it is over; so they are for a connection that was taken over.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { keepBody } from "../body.ts";
import { isJson } from "../wire/media-type.ts";

/** The fields that Docker's have, in JSON; bytes are base64. */
export interface AuthorizationMessage {
  User?: string;
  UserAuthNMethod?: string;
  RequestMethod?: string;
  RequestUri?: string;
  RequestBody?: string;
  RequestHeaders?: Record<string, string>;
  RequestPeerCertificates?: string[];
  ResponseStatusCode?: number;
  ResponseBody?: string;
  ResponseHeaders?: Record<string, string>;
}

export interface Authorization {
  /** There is nobody to ask. */
  readonly isEmpty: boolean;
  /** Throws "forbidden", or "system" when somebody cannot be asked. */
  ask(about: "request" | "response", message: AuthorizationMessage): Promise<void>;
}

const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** They hold passwords. */
const SECRET_HEADERS = new Set(["authorization", "x-registry-config", "x-registry-auth"]);
/** So do bodies of `/auth`. */
const isAuthEndpoint = (url: string): boolean => /^\/(?:v\d[\d.]*\/)?auth/.test(url.replace(/^https?:\/\/[^/?]*/i, ""));

/** Asks about a request. The exchange then is what its answer goes through. */
export async function authorizeRequest(authorization: Authorization, req: IncomingMessage): Promise<Exchange> {
  const message = await describe(req);
  await authorization.ask("request", message);
  return new Exchange(authorization, message);
}

async function describe(req: IncomingMessage): Promise<AuthorizationMessage> {
  const url = req.url ?? "/";
  const body = isJson(req.headers["content-type"]) && !isAuthEndpoint(url) ? await keepBody(req, MAX_BODY_BYTES) : undefined;
  const certificates = certificatesOf(req.socket as Partial<TLSSocket>);
  return {
    ...(certificates[0] && { User: String(certificates[0].subject?.CN ?? ""), UserAuthNMethod: "TLS" }),
    RequestMethod: req.method ?? "",
    RequestUri: url,
    ...(body && body.length > 0 && { RequestBody: body.toString("base64") }),
    RequestHeaders: headersOf(pairs(req.rawHeaders)),
    ...(certificates.length > 0 && { RequestPeerCertificates: certificates.map(({ raw }) => Buffer.from(pem(raw)).toString("base64")) }),
  };
}

function* pairs(raw: readonly string[]): Generator<[string, unknown]> {
  for (let index = 0; index + 1 < raw.length; index += 2) if (raw[index]?.toLowerCase() !== "host") yield [raw[index] as string, raw[index + 1]];
}

/** By the names that Go gives them; of several the last. */
function headersOf(headers: Iterable<[string, unknown]>): Record<string, string> {
  const found: [string, string][] = [];
  for (const [name, value] of headers) {
    if (SECRET_HEADERS.has(name.toLowerCase()) || value === undefined) continue;
    found.push([canonical(name), String(Array.isArray(value) ? value.at(-1) : value)]);
  }
  return Object.fromEntries(found);
}

const canonical = (name: string): string => name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());

/** The client's own first, then those that it is signed with, without the authority's. */
function certificatesOf(socket: Partial<TLSSocket>): PeerCertificate[] {
  const chain: PeerCertificate[] = [];
  for (let next = socket.getPeerCertificate?.(true); next?.raw && !chain.includes(next); next = next.issuerCertificate) {
    if (chain.length > 0 && next.issuerCertificate === next) break;
    chain.push(next);
  }
  return chain;
}

const pem = (der: Buffer): string => `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`;

type Writer = (...args: unknown[]) => unknown;

export class Exchange {
  readonly #authorization: Authorization;
  readonly #request: AuthorizationMessage;
  #head: unknown[] | undefined;
  #state: "held" | "passing" | "asked" = "held";

  constructor(authorization: Authorization, request: AuthorizationMessage) {
    this.#authorization = authorization;
    this.#request = request;
  }

  /** From now on; `refuse` answers instead when a plugin does not allow the answer. */
  hold(res: ServerResponse, refuse: (error: unknown) => void): void {
    const own = (name: "writeHead" | "write" | "end" | "flushHeaders"): Writer => res[name].bind(res) as Writer;
    const [writeHead, write, end, flushHeaders] = [own("writeHead"), own("write"), own("end"), own("flushHeaders")];
    const pass = (): void => {
      if (this.#state === "held") this.#state = "passing";
      const head = this.#head;
      this.#head = undefined;
      if (head) writeHead(...head);
    };
    const replace = (name: string, writer: Writer): void => void Object.defineProperty(res, name, { value: writer, configurable: true, writable: true });
    replace("writeHead", (...args) => {
      if (this.#state !== "held") return writeHead(...args);
      this.#head = args;
      return res;
    });
    replace("flushHeaders", () => {
      pass();
      flushHeaders();
    });
    replace("write", (...args) => {
      pass();
      return write(...args);
    });
    replace("end", (...args) => {
      if (this.#state === "asked") return end(...args);
      const answer = this.#state === "held" ? this.#answer(res, args[0]) : {};
      void this.#ask(answer).then(
        () => {
          pass();
          end(...args);
        },
        (error: unknown) => {
          this.#head = undefined;
          refuse(error);
        },
      );
      return res;
    });
  }

  /** The handler has ended: what was taken over, or left by its client, is over. */
  async handled(res: ServerResponse): Promise<void> {
    if ((res.socket === null || res.destroyed) && !res.writableFinished) await this.#askInVain();
  }

  /** The handler has failed: the client is told why, whatever plugins say. */
  async failed(): Promise<void> {
    this.#head = undefined;
    await this.#askInVain();
  }

  async #askInVain(): Promise<void> {
    if (this.#state !== "asked") await this.#ask({}).catch(() => {});
  }

  async #ask(answer: AuthorizationMessage): Promise<void> {
    this.#state = "asked";
    if (!this.#authorization.isEmpty) await this.#authorization.ask("response", { ...this.#request, ...answer });
  }

  #answer(res: ServerResponse, data: unknown): AuthorizationMessage {
    const [status, ...rest] = this.#head ?? [res.statusCode];
    const given = rest.find((value) => typeof value === "object" && value !== null) as OutgoingHttpHeaders | undefined;
    const headers = headersOf([...Object.entries(res.getHeaders()), ...Object.entries(given ?? {})]);
    const body = typeof data === "string" || data instanceof Uint8Array ? Buffer.from(data as string) : undefined;
    const isShown = body && body.length > 0 && isJson(headers["Content-Type"]) && !isAuthEndpoint(this.#request.RequestUri ?? "");
    return { ResponseStatusCode: Number(status), ResponseHeaders: headers, ...(isShown && { ResponseBody: body.toString("base64") }) };
  }
}
