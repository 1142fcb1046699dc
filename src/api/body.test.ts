import assert from "node:assert/strict";
import { test } from "node:test";
import { UnreadBody } from "../lib/connection-body.ts";
import { bodyOf } from "./body.ts";
import { type Route, sendText } from "./route.ts";
import { serve } from "./testing/harness.ts";

/** Says how the body came, and does not read it when it was left. */
const routes: Route[] = (["PUT", "POST"] as const).flatMap((method) =>
  ["/containers/{name}/archive", "/images/load", "/images/create", "/build"].map((path) => ({
    method,
    path,
    handler: async (call) => {
      const body = bodyOf(call);
      if (body instanceof UnreadBody) return sendText(call, `left with ${Buffer.from(body.connection.head).toString()} of ${body.connection.length ?? "chunks"}`);
      let size = 0;
      for await (const chunk of body) size += chunk.length;
      sendText(call, `parsed ${size}`);
    },
  })),
);

const chunks = "Transfer-Encoding: chunked\r\n";

test("archives stay in their connection, whose end the answer tells", async () => {
  await using server = await serve(routes);
  const heads = [`PUT /containers/a/archive?path=/ HTTP/1.1\r\nHost: d\r\n${chunks}\r\n`, `PUT /v1.44/containers/a/archive HTTP/1.1\r\nHost: d\r\n${chunks}\r\n`, `POST /v1.44/images/load?quiet=1 HTTP/1.1\r\nHost: d\r\n${chunks}\r\n`, `POST /images/create?repo=a&fromSrc=-&tag=b HTTP/1.1\r\nHost: d\r\n${chunks}\r\n`];
  for (const head of heads) {
    const client = server.open();
    const text = await client.send(`${head}5\r\nhello`).untilEnd();
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(text, /\r\nConnection: close\r\n/);
    assert.match(text, /\r\n\r\nleft with 5\r\nhello of chunks$/);
  }
  const client = server.open();
  const text = await client.send(`POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000\r\n\r\nabc`).untilEnd();
  assert.match(text, /left with abc of 1000000$/);
});

test("a body that is left unread does not keep its client from the answer", async () => {
  await using server = await serve(routes);
  const client = server.open();
  client.send(`POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 5000000\r\n\r\n`).send(Buffer.alloc(5_000_000));
  assert.match(await client.untilEnd(), /left with .* of 5000000$/);
});

test("what is no archive, short, or asks first, is parsed as ever; also before an archive on the same connection", async () => {
  await using server = await serve(routes);
  const parsed = [`POST /images/create?fromImage=a HTTP/1.1\r\nHost: d\r\n${chunks}\r\n`, `POST /build HTTP/1.1\r\nHost: d\r\n${chunks}\r\n`, `PUT /containers/a/archive HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n${chunks}\r\n`, `POST /images/load HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n${chunks}\r\n`];
  for (const head of parsed) {
    const client = server.open();
    await client.send(`${head}5\r\nhello\r\n0\r\n\r\n`).until("parsed 5");
  }
  const client = server.open();
  await client.send(`POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello`).until("parsed 5");
  await client.send(`POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\nhell`).until("parsed 4");
  assert.match(await client.send(`POST /images/load HTTP/1.1\r\nHost: d\r\n${chunks}\r\n5\r\n`).untilEnd(), /left with 5\r\n of chunks$/);
});
