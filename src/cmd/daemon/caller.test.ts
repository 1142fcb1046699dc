import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { IpcNetConnectOpts } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { Call } from "../../api/route.ts";
import { serve } from "../../api/testing/harness.ts";
import { hasReceivedAll } from "./caller.ts";

/** Asks at the socket that is its argument, does not look for a while, and prints what its first read gives. */
const SLOW_CLIENT = `
  const client = require("node:net").connect(process.argv[1], () => {
    client.write("POST /greet HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: tcp\\r\\nContent-Length: 0\\r\\n\\r\\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
  });
  client.once("data", (chunk) => { process.stdout.write(chunk); client.destroy(); });`;

/** What the first read of a slow client gives, when the server greets at once or when the head is received. */
async function firstRead(waits: boolean): Promise<string> {
  const handler = async (call: Call): Promise<void> => {
    const client = call.hijack("x/y");
    if (waits) await call.received();
    client.end("greeting");
  };
  await using api = await serve([{ method: "POST", path: "/greet", handler }], { hasReceivedAll });
  const client = spawn(process.execPath, ["-e", SLOW_CLIENT, (api.address as IpcNetConnectOpts).path], { stdio: ["ignore", "pipe", "inherit"] });
  const [printed] = await Promise.all([text(client.stdout), once(client, "exit")]);
  return printed;
}

test("what comes after the head of a taken-over connection waits until the client has received the head", async () => {
  assert.match(await firstRead(true), /^HTTP\/1\.1 101 UPGRADED\r\n[^]*\r\n\r\n$/);
  assert.match(await firstRead(false), /\r\n\r\ngreeting$/, "the control: both come in one read");
});
