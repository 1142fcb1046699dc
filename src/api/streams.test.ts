import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import type { Route } from "./route.ts";
import { writePart } from "./streams.ts";
import { serve } from "./testing/harness.ts";

test("parts of an answer that waits for an earlier one of its connection are not lost, and stand in their order", async () => {
  const first = Promise.withResolvers<void>();
  const routes: Route[] = [
    { method: "GET", path: "/slow", handler: async ({ res }) => (await first.promise, void res.end("slow")) },
    {
      method: "GET",
      path: "/parts",
      handler: async ({ res }) => {
        res.writeHead(200, { "content-type": "application/json" });
        res.flushHeaders();
        writePart(res, "ä\n");
        first.resolve();
        while (res.socket === null) await turn();
        writePart(res, "two\n");
        res.end();
      },
    },
  ];
  await using api = await serve(routes);
  const client = api.open();
  client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /parts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.match(await client.untilEnd(), /slow[\s\S]*HTTP\/1\.1 200 OK[\s\S]*\r\n\r\n3\r\nä\n\r\n4\r\ntwo\n\r\n0\r\n\r\n$/);
  client.socket.destroy();
});
