import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../testing/harness.ts";
import { sessionRoute } from "./session.ts";

test("a session is held until its client leaves; other protocols are refused", async () => {
  await using api = await serve([sessionRoute]);
  const ask = (headers: string): Promise<string> => api.request(`POST /session HTTP/1.1\nHost: x\nContent-Length: 0${headers}`);
  assert.match(await ask(""), /^HTTP\/1\.1 400 [^]*no upgrade proto in request/);
  assert.match(await ask("\nConnection: Upgrade\nUpgrade: foo"), /^HTTP\/1\.1 400 [^]*protocol foo not supported/);
  const client = api.open().send("POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  await client.until("\r\n\r\n");
  assert.equal(client.socket.readyState, "open");
  client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").socket.end();
  assert.match(await client.untilEnd(), /^HTTP\/1\.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n$/);
});
