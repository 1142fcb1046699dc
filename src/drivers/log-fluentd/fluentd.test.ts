import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { logDriverContract, origin, record, type LogServer, type Received } from "../../core/log-driver.contract.ts";
import { until } from "../../lib/eventually.testing.ts";
import { streamServer, temporaryFolder } from "../../core/log-server.testing.ts";
import { fluentdDriver } from "./index.ts";
import { Packer } from "./msgpack.ts";

class Incomplete extends Error {}

/** Reads MessagePack: what a server does with it. */
class Unpacker {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(): unknown {
    const type = this.#number(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 15);
    if (type < 0xa0) return this.#list(type & 15);
    if (type < 0xc0) return this.#text(type & 31);
    switch (type) {
      case 0xce: return this.#number(4);
      case 0xd7: return { type: this.#number(1), seconds: this.#number(4), nanoseconds: this.#number(4) };
      case 0xd9: return this.#text(this.#number(1));
      case 0xda: return this.#text(this.#number(2));
      case 0xdb: return this.#text(this.#number(4));
      case 0xdc: return this.#list(this.#number(2));
      case 0xdd: return this.#list(this.#number(4));
      case 0xde: return this.#map(this.#number(2));
      case 0xdf: return this.#map(this.#number(4));
      default: throw new Error(`type ${type}`);
    }
  }

  #take(length: number): Buffer {
    if (this.at + length > this.#bytes.length) throw new Incomplete();
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }
  #number(bytes: number): number {
    return this.#take(bytes).readUIntBE(0, bytes);
  }
  #text(length: number): string {
    return this.#take(length).toString();
  }
  #list(count: number): unknown[] {
    return Array.from({ length: count }, () => this.read());
  }
  #map(count: number): unknown {
    return Object.fromEntries(Array.from({ length: count }, () => [this.read(), this.read()]));
  }
}

type Message = [tag: string, entries: [time: unknown, record: Record<string, string>][], option: { size: number; chunk?: string }];

interface FluentdServer extends LogServer {
  messages: Message[];
}

async function server(options: Record<string, string>, { path, acknowledges = true }: { path?: string; acknowledges?: boolean } = {}): Promise<FluentdServer> {
  const messages: Message[] = [];
  const received: Received[] = [];
  const made = await streamServer(
    () => {
      let rest = Buffer.alloc(0);
      return (bytes, socket) => {
        rest = Buffer.concat([rest, bytes]);
        for (;;) {
          const unpacker = new Unpacker(rest);
          let message: Message;
          try {
            message = unpacker.read() as Message;
          } catch (error) {
            if (error instanceof Incomplete) return;
            throw error;
          }
          rest = rest.subarray(unpacker.at);
          messages.push(message);
          received.push(...message[1].map(([, { log = "", source }]) => ({ text: log, stderr: source === "stderr" })));
          if (message[2].chunk !== undefined && acknowledges) socket.write(new Packer().write({ ack: message[2].chunk }).finish());
        }
      };
    },
    path === undefined ? {} : { path },
  );
  return { options: { "fluentd-address": path === undefined ? `127.0.0.1:${made.port}` : `unix://${path}`, ...options }, messages, received, ...made };
}

logDriverContract("fluentd over TCP", fluentdDriver, () => server({}));
logDriverContract("fluentd over a unix socket", fluentdDriver, (t) => server({}, { path: join(temporaryFolder(t), "log.sock") }));
logDriverContract("fluentd with acknowledgements", fluentdDriver, () => server({ "fluentd-request-ack": "true" }));

async function sentTo(t: TestContext, made: FluentdServer, change: Parameters<typeof origin>[0] = {}): Promise<ReturnType<typeof fluentdDriver.open>> {
  const sink = fluentdDriver.open(origin(change), made.options);
  t.after(async () => {
    sink.abort();
    await made.stop();
  });
  return sink;
}

test("the members of a record, and times to the second or the nanosecond", async (t) => {
  const [coarse, precise] = [await server({}), await server({ "fluentd-sub-second-precision": "true" })];
  for (const made of [coarse, precise]) await (await sentTo(t, made, { tag: "tag.x", attributes: { label: "v" } })).send([record("text", { stderr: true, part: { id: "p", ordinal: 2, last: true } })]);
  await until("both arrive", () => coarse.messages.length + precise.messages.length === 2);
  const members = { container_id: "ab".repeat(32), container_name: "/web", source: "stderr", log: "text", label: "v", partial_message: "true", partial_id: "p", partial_ordinal: "2", partial_last: "true" };
  assert.deepEqual(coarse.messages, [["tag.x", [[1767323045, members]], { size: 1 }]]);
  assert.deepEqual(precise.messages[0]?.[1][0]?.[0], { type: 0, seconds: 1767323045, nanoseconds: 123456789 });
});

test("many and long records", async (t) => {
  const made = await server({});
  const sink = await sentTo(t, made);
  const records = Array.from({ length: 300 }, (_, index) => record(`é${index}`)).concat([record("x".repeat(70_000)), record("y".repeat(200))]);
  await sink.send(records);
  await until("all arrive", () => made.received.length === records.length);
  assert.deepEqual(made.received.map(({ text }) => text), records.map(({ text }) => text));
  const list = Array.from({ length: 70_000 }, (_, index) => index);
  assert.deepEqual(new Unpacker(new Packer().write(list).finish()).read(), list);
});

test("a server that does not acknowledge gets the records again", async (t) => {
  const made = await server({ "fluentd-request-ack": "true", "fluentd-read-timeout": "200ms" }, { acknowledges: false });
  await assert.rejects((await sentTo(t, made)).send([record("text")]), /closed before the server acknowledged/);
});

test("with fluentd-async a start does not wait for the server; retries are limited by who sets it", async () => {
  const nowhere = { "fluentd-address": "127.0.0.1:1" };
  await fluentdDriver.open(origin(), { ...nowhere, "fluentd-async": "true" }).verify();
  await assert.rejects(fluentdDriver.open(origin(), nowhere).verify(), /^Error: dial tcp 127\.0\.0\.1:1: connect: connection refused$/);
  const { tries, retryMilliseconds } = fluentdDriver.open(origin(), { ...nowhere, "fluentd-max-retries": "4", "fluentd-retry-wait": "2s" });
  assert.deepEqual([tries, retryMilliseconds], [5, 2000]);
});

test("another reader of MessagePack reads what is written", (t) => {
  const script = "import sys,json,msgpack; print(json.dumps(msgpack.unpackb(sys.stdin.buffer.read())))";
  try {
    execFileSync("python3", ["-c", "import msgpack"], { stdio: "pipe" });
  } catch {
    t.skip("needs python3 with msgpack");
    return;
  }
  const value = ["x".repeat(31), "x".repeat(32), "é".repeat(200), "z".repeat(70_000), 5, 4_000_000_000, Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`k${index}`, "v"]))];
  assert.deepEqual(JSON.parse(execFileSync("python3", ["-c", script], { input: new Packer().write(value).finish(), maxBuffer: 1 << 24 }).toString()), value);
});
