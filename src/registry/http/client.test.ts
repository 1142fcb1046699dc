import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { GantryError } from "../../lib/errors.ts";
import { eventually } from "../../lib/eventually.testing.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { HttpClient, type HttpRequest, readBody } from "./client.ts";
import { noProxies } from "../../lib/proxy.ts";
import { defaultTls } from "./tls-settings.ts";

const limits = { stallMilliseconds: 30_000, answerMilliseconds: 30_000 };
const get = (url: string): HttpRequest => ({ method: "GET", url: new URL(url), headers: {}, tls: defaultTls });

test("connections are used again, also after an error's body was given up", async () => {
  await using fake = await FakeRegistry.start();
  const client = new HttpClient(noProxies, limits);
  fake.rule = () => ({ status: 404, body: "x".repeat(1000) });
  const ask = async (): Promise<void> => (await client.send(get(`${fake.origin}/`))).discard();
  await ask();
  // One that is given up is free when what is left of its body has come.
  for (let times = 0; times < 3; times++) {
    await eventually(async () => {
      const before = fake.connections;
      await ask();
      assert.equal(fake.connections, before);
    });
  }
  client.close();
});

test("an answer before the body was sent ends the sending, and the connection", async () => {
  const closed = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("close", () => closed.resolve());
    socket.once("data", () => void socket.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const client = new HttpClient(noProxies, limits);
    let left = false;
    const body = (async function* () {
      try {
        for (;;) yield Buffer.alloc(1000);
      } finally {
        left = true;
      }
    })();
    const response = await client.send({ ...get(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`), method: "PUT", headers: { "content-length": "1000000000000" }, body });
    assert.deepEqual([response.status, (await readBody(response, 10)).toString(), left], [403, "no", true]);
    await closed.promise;
  } finally {
    server.close();
  }
});

test("a server that says nothing, and one that is not there", async () => {
  const server = createServer((socket) => void socket.on("error", () => undefined).resume());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const client = new HttpClient(noProxies, { stallMilliseconds: 30_000, answerMilliseconds: 50 });
  await assert.rejects(client.send(get(url)), (error) => error instanceof GantryError && /timeout awaiting response headers/.test(error.message));
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(client.send(get(url)), /dial tcp 127\.0\.0\.1:\d+: connect: connection refused/);
  await assert.rejects(client.send(get("http://nowhere.invalid/")), /dial tcp: lookup nowhere\.invalid: (no such host|server misbehaving)/);
});

test("what is signed or secret in an address is not told", async () => {
  const client = new HttpClient(noProxies, limits);
  await assert.rejects(client.send(get("http://u:secret@127.0.0.1:1/x?X-Amz-Signature=secret&ns=docker.io")), (error: Error) => /ns=docker\.io/.test(error.message) && !error.message.includes("secret"));
});
