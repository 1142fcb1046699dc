import assert from "node:assert/strict";
import type { NetConnectOpts } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import type { Call, Route } from "./route.ts";
import { serve } from "./testing/harness.ts";
import { acceptWebSocket } from "./websocket.ts";

async function echo(call: Call): Promise<void> {
  const client = await acceptWebSocket(call);
  client.on("data", (chunk: Buffer) => client.write(`got ${chunk.toString()}`));
  client.on("end", () => client.end());
}
const routes: Route[] = [{ method: "GET", path: "/ws", handler: echo }];

const open = (address: NetConnectOpts, path: string): WebSocket => new WebSocket(`ws+unix://${(address as { path: string }).path}:${path}`);

test("carries messages as bytes, binary for current clients and text for old ones", async () => {
  await using api = await serve(routes);
  for (const [path, binary] of [["/ws", true], ["/v1.27/ws", false]] as const) {
    const socket = open(api.address, path);
    await once(socket, "open");
    socket.send("hello");
    const [data, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
    assert.equal(data.toString(), "got hello");
    assert.equal(isBinary, binary);
    socket.close();
    await once(socket, "close");
  }
});

test("what is no handshake is refused", async () => {
  await using api = await serve(routes);
  assert.match(await api.request("GET /ws HTTP/1.1\nHost: x"), /^HTTP\/1\.1 400 [^]*not websocket protocol/);
  assert.match(await api.open().send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").untilEnd(), /^HTTP\/1\.1 400 [^]*Sec-WebSocket-Key/);
});

test("a message beyond the limit ends the connection", async () => {
  await using api = await serve(routes);
  const socket = open(api.address, "/ws");
  await once(socket, "open");
  socket.on("error", () => {});
  socket.send(Buffer.alloc(2 << 20));
  const [code] = (await once(socket, "close")) as [number];
  assert.ok(code === 1009 || code === 1006);
});

test("a client that vanishes ends the stream", async () => {
  const closed = Promise.withResolvers<void>();
  await using api = await serve([
    {
      method: "GET",
      path: "/ws",
      handler: async (call) => {
        const client = await acceptWebSocket(call);
        client.on("data", () => {});
        client.on("close", () => closed.resolve());
      },
    },
  ]);
  const socket = open(api.address, "/ws");
  await once(socket, "open");
  socket.terminate();
  await closed.promise;
});
