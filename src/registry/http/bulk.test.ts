import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { GantryError } from "../../lib/errors.ts";
import { makeCertificates } from "../testing/certificates.ts";
import { bytesOf, FakeRegistry } from "../testing/fake-registry.ts";
import { HttpClient, type HttpResponse } from "./client.ts";
import { noProxies } from "../../lib/proxy.ts";
import { defaultTls, type TlsSettings } from "./tls-settings.ts";

const large = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251));
const get = (url: string, { tls = defaultTls, signal, stallMilliseconds = 30_000 }: { tls?: TlsSettings; signal?: AbortSignal; stallMilliseconds?: number } = {}): Promise<HttpResponse> =>
  new HttpClient(noProxies, { stallMilliseconds, answerMilliseconds: 30_000 }).send({ method: "GET", url: new URL(url), headers: { "x-a": "1" }, tls, bulk: true, signal });

/** A server that writes what it is told, byte by byte if need be. */
async function raw(answer: (socket: Socket) => void): Promise<{ url: string } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("a large body by its length, and by chunks", async () => {
  await using fake = await FakeRegistry.start();
  for (const headers of [{}, { "transfer-encoding": "chunked" }]) {
    fake.rule = () => ({ status: 200, headers, body: large });
    const response = await get(`${fake.origin}/x?y=z`);
    assert.deepEqual([response.status, response.statusLine], [200, "200 OK"]);
    assert.ok((await bytesOf(response.body)).equals(large));
  }
  assert.deepEqual([fake.asked[0]?.headers["x-a"], fake.asked[0]?.headers.host, fake.asked[0]?.url.search], ["1", fake.host, "?y=z"]);
});

test("a large body over TLS, for a reader that is slow", async () => {
  using certificates = makeCertificates();
  const pem = (name: string): Buffer => readFileSync(join(certificates.folder, `${name}.pem`));
  await using fake = await FakeRegistry.start({ key: pem("server-key"), cert: pem("server") });
  fake.rule = () => ({ status: 200, body: large });
  const tls = { skipVerify: false, authorities: [join(certificates.folder, "ca.pem")], clientPairs: [] };
  const parts: Buffer[] = [];
  for await (const chunk of (await get(`${fake.origin}/`, { tls })).body) {
    await new Promise(setImmediate);
    parts.push(Buffer.from(chunk));
  }
  assert.ok(Buffer.concat(parts).equals(large));
  await assert.rejects(get(`${fake.origin}/`), /certificate signed by unknown authority/);
});

test("framings that come in pieces", async () => {
  const head = "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-a: 2\r\n";
  const bodies: [string, string][] = [
    [`${head}Content-Length: 5\r\n\r\nhello`, "hello"],
    [`${head}\r\nuntil the end`, "until the end"],
    [`${head}Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0A\r\n, chunked!\r\n0\r\nTrailer: x\r\n\r\n`, "hello, chunked!"],
    [`${head}Content-Length: 0\r\n\r\n`, ""],
  ];
  for (const [text, expected] of bodies) {
    for (const size of [1, 3, 1000]) {
      await using server = await raw((socket) => {
        socket.setNoDelay(true);
        const write = (at: number): void => void (at < text.length ? socket.write(text.slice(at, at + size), () => setImmediate(write, at + size)) : text.includes("until") && socket.end());
        write(0);
      });
      const response = await get(server.url);
      assert.deepEqual([response.headers["x-a"], (await bytesOf(response.body)).toString()], ["1, 2", expected]);
    }
  }
});

test("what is malformed, too long or ends early is an error", async () => {
  const cases: [string, RegExp][] = [
    ["", /EOF/],
    ["SSH-2.0\r\n\r\n", /malformed HTTP response "SSH-2.0"/],
    [`HTTP/1.1 200 OK\r\nX: ${"a".repeat(100_000)}`, /head is too long/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", /two lengths/],
    ["HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", /malformed content-length/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", /unexpected EOF/],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", /malformed chunked encoding/],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", /unexpected EOF/],
    [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${"1".repeat(10_000)}`, /malformed chunked encoding/],
  ];
  for (const [text, message] of cases) {
    await using server = await raw((socket) => socket.end(text));
    await assert.rejects(async () => bytesOf((await get(server.url)).body), (error) => error instanceof GantryError && message.test(error.message), text.slice(0, 60));
  }
});

test("a body that stalls, and a reader that leaves", async () => {
  await using server = await raw((socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"));
  await assert.rejects(async () => bytesOf((await get(server.url, { stallMilliseconds: 50 })).body), /i\/o timeout/);
  const controller = new AbortController();
  const response = await get(server.url, { signal: controller.signal });
  const reading = assert.rejects(bytesOf(response.body), (error) => error instanceof GantryError && error.code === "cancelled");
  controller.abort();
  await reading;
  for await (const chunk of (await get(server.url)).body) {
    assert.equal(Buffer.from(chunk).toString(), "hello");
    break;
  }
});
