import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { gunzipSync, inflateSync } from "node:zlib";
import { logDriverContract, origin, record, type LogServer, type Received } from "../../core/log-driver.contract.ts";
import { until } from "../../lib/eventually.testing.ts";
import { streamServer, udpServer } from "../../core/log-server.testing.ts";
import { chunks, gelfDriver } from "./index.ts";

interface GelfServer extends LogServer {
  messages: Record<string, unknown>[];
}

function take({ messages, received }: Pick<GelfServer, "messages" | "received">, text: string): void {
  const message = JSON.parse(text) as Record<string, unknown>;
  messages.push(message);
  received.push({ text: message["short_message"] as string, stderr: message["level"] === 3 });
}

async function tcp(): Promise<GelfServer> {
  const got = { messages: [], received: [] as Received[] };
  const server = await streamServer(() => {
    let rest = Buffer.alloc(0);
    return (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let end = rest.indexOf(0); end !== -1; end = rest.indexOf(0)) {
        take(got, rest.subarray(0, end).toString());
        rest = rest.subarray(end + 1);
      }
    };
  });
  return { options: { "gelf-address": `tcp://127.0.0.1:${server.port}` }, ...got, ...server };
}

/** Puts chunks together, as a server does. */
async function udp(unpack: (bytes: Buffer) => Buffer, options: Record<string, string>): Promise<GelfServer> {
  const got = { messages: [], received: [] as Received[] };
  const parts = new Map<string, Buffer[]>();
  const server = await udpServer((bytes) => {
    if (bytes.readUInt16BE(0) !== 0x1e0f) return take(got, unpack(bytes).toString());
    const id = bytes.subarray(2, 10).toString("hex");
    const have = parts.get(id) ?? [];
    parts.set(id, have);
    have[bytes[10] as number] = bytes.subarray(12);
    if (have.filter(Boolean).length === bytes[11]) take(got, unpack(Buffer.concat(have)).toString());
  });
  return { options: { "gelf-address": `udp://127.0.0.1:${server.port}`, ...options }, ...got, ...server };
}

logDriverContract("gelf over TCP", gelfDriver, tcp);
logDriverContract("gelf over UDP with gzip", gelfDriver, () => udp(gunzipSync, {}), { reliable: false });
logDriverContract("gelf over UDP with zlib", gelfDriver, () => udp(inflateSync, { "gelf-compression-type": "zlib", "gelf-compression-level": "9" }), { reliable: false });
logDriverContract("gelf over UDP in chunks", gelfDriver, () => udp((bytes) => bytes, { "gelf-compression-type": "none" }), { reliable: false });

test("the members of a message", async (t: TestContext) => {
  const server = await tcp();
  t.after(() => server.stop());
  const sink = gelfDriver.open(origin({ attributes: { level2: "x", _own: "y" } }), server.options);
  await sink.send([record("text")]);
  await until("it arrives", () => server.messages.length === 1);
  await sink.close();
  assert.deepEqual(server.messages[0], {
    ...{ version: "1.1", host: "host1", short_message: "text", timestamp: 1767323045.123, level: 6, _command: "sh -c x", _container_id: "ab".repeat(32), _container_name: "web" },
    ...{ _created: "2026-01-02T03:04:05.000000006Z", _image_id: `sha256:${"1".repeat(64)}`, _image_name: "image:tag", _tag: "abababababab", _level2: "x", _own: "y" },
  });
});

test("who limits reconnections has them limited; a message for more than 128 chunks is none", () => {
  const { tries, retryMilliseconds } = gelfDriver.open(origin(), { "gelf-address": "tcp://127.0.0.1:1", "gelf-tcp-max-reconnect": "2", "gelf-tcp-reconnect-delay": "3" });
  assert.deepEqual([tries, retryMilliseconds], [3, 3000]);
  assert.equal(gelfDriver.open(origin(), { "gelf-address": "tcp://127.0.0.1:1" }).tries, undefined);
  assert.deepEqual([chunks(Buffer.alloc(1420)).length, chunks(Buffer.alloc(1421)).length, chunks(Buffer.alloc(1408 * 128)).length, chunks(Buffer.alloc(1408 * 128 + 1)).length], [1, 2, 128, 0]);
});
