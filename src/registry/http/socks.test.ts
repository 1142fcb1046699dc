import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificates } from "../testing/certificates.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { HttpClient, type HttpRequest, readBody } from "./client.ts";
import { defaultTls } from "./tls-settings.ts";

interface SocksServer extends AsyncDisposable {
  port: number;
  /** What it was asked to connect to. */
  asked: string[];
}

/** A proxy that takes every name for the loopback. */
async function socksServer(options: { user?: string; password?: string; refuse?: number } = {}): Promise<SocksServer> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const serve = async (socket: Socket): Promise<void> => {
    const next = (bytes: number): Promise<Buffer> =>
      new Promise((resolve) => {
        const look = (): void => {
          const chunk = socket.read(bytes) as Buffer | null;
          if (chunk) resolve(chunk);
          else socket.once("readable", look);
        };
        look();
      });
    const [, count = 0] = await next(2);
    const methods = [...(await next(count))];
    const method = options.user === undefined ? 0 : methods.includes(2) ? 2 : 255;
    socket.write(Buffer.from([5, method]));
    if (method === 255) return void socket.end();
    if (method === 2) {
      const [, length = 0] = await next(2);
      const user = (await next(length)).toString();
      const secret = (await next((await next(1))[0] ?? 0)).toString();
      const isRight = user === options.user && secret === options.password;
      socket.write(Buffer.from([1, isRight ? 0 : 1]));
      if (!isRight) return void socket.end();
    }
    const [, , , kind] = await next(4);
    const host = kind === 3 ? (await next((await next(1))[0] ?? 0)).toString() : [...(await next(kind === 1 ? 4 : 16))].join(".");
    const port = (await next(2)).readUInt16BE(0);
    asked.push(`${host}:${port}`);
    socket.write(Buffer.from([5, options.refuse ?? 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    if (options.refuse !== undefined) return void socket.end();
    const further = connect(port, "127.0.0.1");
    further.on("error", () => socket.destroy());
    socket.on("close", () => further.destroy());
    socket.pipe(further).pipe(socket);
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    void serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const clientBy = (proxy: string): HttpClient => new HttpClient({ httpProxy: proxy, httpsProxy: proxy, noProxy: "" });
const get = (url: string, tls = defaultTls): HttpRequest => ({ method: "GET", url: new URL(url), headers: {}, tls });

test("requests go through the proxy, by names that it resolves; also large ones, and with a password", async () => {
  await using fake = await FakeRegistry.start();
  await using socks = await socksServer({ user: "me@x", password: "p:w" });
  fake.rule = () => ({ status: 200, body: Buffer.alloc(3 << 20, "x") });
  const client = clientBy(`socks5h://me%40x:p%3Aw@127.0.0.1:${socks.port}`);
  for (const bulk of [false, true]) {
    const response = await client.send({ ...get(`http://r.example:${fake.port}/v2/`), bulk });
    assert.equal((await readBody(response, 4 << 20)).length, 3 << 20);
  }
  assert.deepEqual([...new Set(socks.asked)], [`r.example:${fake.port}`]);
  client.close();
});

test("TLS is between us and the registry", async () => {
  using certificates = makeCertificates();
  const file = (name: string): string => join(certificates.folder, name);
  await using fake = await FakeRegistry.start({ key: readFileSync(file("server-key.pem")), cert: readFileSync(file("server.pem")) });
  await using socks = await socksServer();
  fake.rule = () => ({ status: 200, body: "inside" });
  const client = clientBy(`socks5://127.0.0.1:${socks.port}`);
  const response = await client.send(get(`https://registry.test:${fake.port}/`, { ...defaultTls, authorities: [file("ca.pem")] }));
  assert.equal((await readBody(response, 100)).toString(), "inside");
  const refused = await client.send(get(`https://registry.test:${fake.port}/`)).then(() => "answered", (error: Error) => error.message);
  client.close();
  assert.match(refused, /failed to verify certificate/);
});

test("a proxy that refuses is told of without its password", async () => {
  await using wrong = await socksServer({ user: "a", password: "b" });
  await using refusing = await socksServer({ refuse: 2 });
  const said = async (proxy: string): Promise<string> => {
    const client = clientBy(proxy);
    const error = await client.send(get("http://r.example/")).then(() => new Error("answered"), (thrown: Error) => thrown);
    client.close();
    return error.message;
  };
  assert.match(await said(`socks5://a:secret@127.0.0.1:${wrong.port}`), /^Get "http:\/\/r\.example\/": socks connect: username\/password authentication failed$/);
  assert.match(await said(`socks5://127.0.0.1:${wrong.port}`), /socks connect: no acceptable authentication methods$/);
  assert.match(await said(`socks5://127.0.0.1:${refusing.port}`), /socks connect: connection not allowed by ruleset$/);
});
