/** A registry in this process that does as it is told, also what no registry should. Each has an origin of its own. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { mediaTypes } from "../../lib/oci-image.ts";

export interface Asked {
  method: string;
  url: URL;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** So many bytes of the body, then the connection ends. */
  cutAfter?: number;
  /** Nothing more comes after the head. */
  stall?: boolean;
}

type Rule = (asked: Asked) => Reply | undefined;

export class FakeRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, { mediaType: string; bytes: Buffer }>();
  /** All requests, as they came. */
  readonly asked: Asked[] = [];
  readonly uploads = new Map<string, Buffer>();
  /** Asked first; undefined: as a good registry. */
  rule: Rule = () => undefined;
  /** So many were made. */
  connections = 0;
  /** Mounting works from these. */
  readonly mountable = new Set<string>();
  readonly #server: Server;
  readonly #secure: boolean;

  private constructor(server: Server, secure: boolean) {
    this.#server = server;
    this.#secure = secure;
  }

  static async start(tls?: ServerOptions, address = "127.0.0.1"): Promise<FakeRegistry> {
    const listener = (req: IncomingMessage, res: ServerResponse): void => void registry.serve(req, res).catch(() => res.destroy());
    const server = tls ? process.getBuiltinModule("node:https").createServer(tls, listener) : process.getBuiltinModule("node:http").createServer(listener);
    const registry = new FakeRegistry(server, tls !== undefined);
    server.on("connection", () => registry.connections++);
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, address, resolve));
    return registry;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** As in references. */
  get host(): string {
    const { address, family } = this.#server.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${this.port}` : `${address}:${this.port}`;
  }

  get origin(): string {
    return `${this.#secure ? "https" : "http"}://${this.host}`;
  }

  addBlob(bytes: Buffer): Digest {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  addManifest(tag: string, json: object, mediaType: string = mediaTypes.ociManifest): Digest {
    const bytes = Buffer.from(JSON.stringify(json));
    const digest = digestOf(bytes);
    this.manifests.set(digest, { mediaType, bytes });
    this.manifests.set(tag, { mediaType, bytes });
    return digest;
  }

  /** Lines such as "GET /v2/a/blobs/sha256:..." of all requests. */
  lines(): string[] {
    return this.asked.map(({ method, url }) => `${method} ${url.pathname}${url.search}`);
  }

  async serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? "/", this.origin);
    const arrived: Buffer[] = [];
    const upload = req.method === "PATCH" ? url.pathname : undefined;
    req.on("data", (chunk: Buffer) => {
      arrived.push(chunk);
      if (upload !== undefined) this.uploads.set(upload, Buffer.concat([this.uploads.get(upload) ?? Buffer.alloc(0), chunk]));
    });
    await new Promise<void>((resolve, reject) => req.once("end", resolve).once("error", reject));
    const asked: Asked = { method: req.method ?? "", url, headers: req.headers, body: Buffer.concat(arrived) };
    this.asked.push(asked);
    send(res, asked.method, this.rule(asked) ?? this.#answer(asked));
  }

  #answer(asked: Asked): Reply {
    const { method, url } = asked;
    if (url.pathname === "/v2/" || url.pathname === "/v2") return { status: 200, body: "{}" };
    const [, repository = "", kind = "", rest = ""] = /^\/v2\/(.+?)\/(manifests|blobs|tags)\/(.*)$/.exec(url.pathname) ?? [];
    if (repository === "") return unknown("NAME_UNKNOWN", 404);
    if (kind === "tags") return { status: 200, body: JSON.stringify({ name: repository, tags: [...this.manifests.keys()].filter((name) => !name.includes(":")) }) };
    if (kind === "manifests") return this.#manifest(asked, rest);
    if (rest.startsWith("uploads/")) return this.#upload(asked, repository);
    const blob = this.blobs.get(rest);
    if (!blob) return unknown("BLOB_UNKNOWN", 404);
    return method === "GET" ? ranged(asked, blob) : { status: 200, headers: { "content-length": String(blob.length) } };
  }

  #manifest({ method, headers, body }: Asked, reference: string): Reply {
    if (method === "PUT") {
      const digest = digestOf(body);
      for (const name of [digest, reference]) this.manifests.set(name, { mediaType: headers["content-type"] ?? "", bytes: body });
      return { status: 201, headers: { "docker-content-digest": digest } };
    }
    const found = this.manifests.get(reference);
    if (!found) return unknown("MANIFEST_UNKNOWN", 404);
    return { status: 200, headers: { "content-type": found.mediaType, "docker-content-digest": digestOf(found.bytes) }, body: found.bytes };
  }

  #upload({ method, url, body }: Asked, repository: string): Reply {
    const mount = url.searchParams.get("mount");
    const from = url.searchParams.get("from");
    if (mount !== null && from !== null && this.mountable.has(from)) return { status: 201, headers: { location: `/v2/${repository}/blobs/${mount}` } };
    const location = `/v2/${repository}/blobs/uploads/u${this.asked.length}`;
    if (method === "POST") {
      this.uploads.set(location, Buffer.alloc(0));
      return { status: 202, headers: { location: `${location}?_state=s` } };
    }
    const got = this.uploads.get(url.pathname);
    if (!got) return unknown("BLOB_UPLOAD_UNKNOWN", 404);
    const range = { location: `${url.pathname}?_state=s`, range: `0-${Math.max(0, got.length - 1)}` };
    if (method === "PATCH") return { status: 202, headers: range };
    if (method === "GET") return { status: 204, headers: range };
    const whole = Buffer.concat([got, body]);
    if (digestOf(whole) !== url.searchParams.get("digest")) return unknown("DIGEST_INVALID", 400);
    this.uploads.delete(url.pathname);
    this.addBlob(whole);
    return { status: 201 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const unknown = (code: string, status: number, message = code.toLowerCase()): Reply => ({ status, headers: { "content-type": "application/json" }, body: JSON.stringify({ errors: [{ code, message }] }) });

function ranged({ headers }: Asked, bytes: Buffer): Reply {
  const [, from] = /^bytes=(\d+)-$/.exec(headers.range ?? "") ?? [];
  if (from === undefined) return { status: 200, body: bytes };
  const start = Number(from);
  if (start >= bytes.length) return { status: 416 };
  return { status: 206, headers: { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }, body: bytes.subarray(start) };
}

function send(res: ServerResponse, method: string, { status, headers = {}, body = "", cutAfter, stall }: Reply): void {
  const bytes = Buffer.from(body);
  res.writeHead(status, { ...(headers["transfer-encoding"] === undefined && status !== 204 ? { "content-length": String(bytes.length) } : {}), ...headers });
  if (method === "HEAD") return void res.end();
  if (stall) return res.flushHeaders();
  if (cutAfter === undefined) return void res.end(bytes);
  res.write(bytes.subarray(0, cutAfter), () => setImmediate(() => res.destroy()));
}

/** All of a blob's bytes. */
export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

