/** What hostile clients cost: they are refused, and files and memory return to where they were. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { eventually, until } from "../lib/eventually.testing.ts";

const ATTACKERS = 10_000;
const HEAD_MILLISECONDS = 3000;
/** What the process may keep after an attack: the heap's grown pages. */
const KEPT_BYTES = 96 * 1024 * 1024;

interface Victim extends Disposable {
  port: number;
  files(): number;
  memory(): number;
  /** Milliseconds until the answer. */
  ping(): Promise<number>;
}

async function victim(): Promise<Victim> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("./testing/flooded-server.ts")), String(HEAD_MILLISECONDS)], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(line.toString());
  const pid = child.pid as number;
  return {
    port,
    files: () => readdirSync(`/proc/${pid}/fd`).length,
    memory: () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024,
    async ping() {
      const begin = performance.now();
      const socket = connect(port, "127.0.0.1");
      socket.write("GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      const text = await readAll(socket);
      assert.match(text, /^HTTP\/1\.1 200 /);
      return performance.now() - begin;
    },
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}

function readAll(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

/** Resolves when more can be sent, or nothing more. */
async function drained(socket: Socket): Promise<void> {
  const settled = new AbortController();
  await Promise.race(["drain", "close"].map((event) => once(socket, event, settled))).catch(() => {});
  settled.abort();
}

/** Requests in between let it collect its garbage. */
const staysSmall = (server: Victim, before: number): Promise<void> =>
  eventually(async () => {
    await server.ping();
    assert.ok(server.memory() < before + KEPT_BYTES, `memory grew from ${before} to ${server.memory()}`);
  });

async function attack(port: number, count: number, bytes: string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let made = 0; made < count; made += 500) {
    const batch = Array.from({ length: Math.min(500, count - made) }, () => connect({ port, host: "127.0.0.1" }));
    await Promise.all(batch.map((socket) => new Promise<void>((resolve) => (socket.on("error", () => resolve()), socket.on("connect", () => (socket.write(bytes), resolve()))))));
    sockets.push(...batch);
  }
  return sockets;
}

test(`${ATTACKERS} connections that never finish their request`, { timeout: 300_000 }, async () => {
  using server = await victim();
  await server.ping();
  const before = { files: server.files(), memory: server.memory() };
  for (const bytes of ["", "GET /_ping HTTP/1.1\r\nHost: loc"]) {
    const sockets = await attack(server.port, ATTACKERS / 2, bytes);
    assert.ok(server.files() < before.files + 1100, `${server.files()} files are open`);
    const answer = await server.ping();
    assert.ok(answer < 60_000, `a ping took ${answer} ms under attack`);
    for (const socket of sockets) socket.destroy();
  }
  await until(() => `${server.files()} files are open, ${before.files} were before`, () => server.files() <= before.files + 2);
  await staysSmall(server, before.memory);
});

test("control: a server without limits keeps every connection that never finishes", { timeout: 300_000 }, async () => {
  const bare = createServer(() => {}).listen(0, "127.0.0.1");
  await once(bare, "listening");
  const sockets = await attack((bare.address() as AddressInfo).port, 1500, "GET /_ping HTTP/1.1\r\nHost: loc");
  let kept = 0;
  const count = (): void => void bare.getConnections((_, open) => (kept = open));
  await until(() => `1500, and not ${kept}, are kept`, () => (count(), kept === 1500));
  for (const socket of sockets) socket.destroy();
  bare.close();
});

test("clients that send their request slowly are cut off while others are served", { timeout: 300_000 }, async () => {
  using server = await victim();
  const slow = connect(server.port, "127.0.0.1");
  const ended = readAll(slow);
  const timer = setInterval(() => slow.write("X-A: b\r\n"), 500);
  slow.write("GET /_ping HTTP/1.1\r\n");
  const text = await ended;
  clearInterval(timer);
  assert.match(text, /^HTTP\/1\.1 408 /);
  assert.ok((await server.ping()) < 60_000);
});

test("a document of 100 MB is refused without being kept", { timeout: 300_000 }, async () => {
  using server = await victim();
  await server.ping();
  const before = server.memory();
  for (const head of ["Content-Length: 104857600", "Transfer-Encoding: chunked"]) {
    const socket = connect(server.port, "127.0.0.1");
    const answer = readAll(socket);
    socket.write(`POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${head}\r\n\r\n`);
    const piece = Buffer.alloc(1 << 20, "a");
    const chunk = head.startsWith("C") ? piece : Buffer.concat([Buffer.from("100000\r\n"), piece, Buffer.from("\r\n")]);
    for (let sent = 0; sent < 100 && !socket.destroyed && socket.writable; sent++) {
      if (!socket.write(chunk)) await drained(socket);
    }
    assert.match(await answer, /^HTTP\/1\.1 400 [^]*larger than/);
  }
  await staysSmall(server, before);
});

test("many documents at once share a budget, and what was refused is given back", { timeout: 300_000 }, async () => {
  using server = await victim();
  await server.ping();
  const before = server.memory();
  const head = "POST /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 16000000\r\n\r\n";
  const sockets = Array.from({ length: 20 }, () => connect(server.port, "127.0.0.1"));
  const answers = sockets.map(readAll);
  for (const socket of sockets) socket.write(Buffer.concat([Buffer.from(head), Buffer.alloc(15_000_000, " ")]));
  await until("half of the documents are refused", () => sockets.filter((socket) => socket.closed).length >= 10);
  assert.ok(server.memory() < before + 2 * 128 * 1024 * 1024 + KEPT_BYTES);
  for (const socket of sockets) socket.destroy();
  const texts = await Promise.all(answers);
  assert.ok(texts.some((text) => /^HTTP\/1\.1 503 [^]*at once/.test(text)));
  const socket = connect(server.port, "127.0.0.1");
  const answer = readAll(socket);
  socket.write(`${head.replace("16000000", "2")}{}`);
  assert.match(await answer, /^HTTP\/1\.1 200 /);
});

test("a document a million levels deep is refused", { timeout: 300_000 }, async () => {
  using server = await victim();
  await server.ping();
  for (const opening of ["[", '{"a":']) {
    const body = opening.repeat(1_000_000);
    const socket = connect(server.port, "127.0.0.1");
    const answer = readAll(socket);
    socket.write(`POST /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    assert.match(await answer, /^HTTP\/1\.1 400 [^]*invalid JSON/);
  }
  assert.ok((await server.ping()) < 60_000);
});
