/** What every driver of remote logs does, with a server that the caller gives. Not for datagrams, of which nobody knows what arrived: `reliable` false leaves out what needs that. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../lib/eventually.testing.ts";
import type { LogDriver, LogOrigin, LogRecord, LogSink } from "./log-driver.ts";

export interface Received {
  text: string;
  stderr: boolean;
}

/** A server that takes apart what it is sent. */
export interface LogServer {
  options: Record<string, string>;
  /** In the order of arrival. */
  received: Received[];
  /** Ends connections and hears nothing any more. */
  stop(): Promise<void>;
  /** At the same address as before. */
  start(): Promise<void>;
}

export const origin = (change: Partial<LogOrigin> = {}): LogOrigin => ({
  id: "ab".repeat(32),
  name: "web",
  imageId: `sha256:${"1".repeat(64)}`,
  imageName: "image:tag",
  command: "sh -c x",
  created: "2026-01-02T03:04:05.000000006Z",
  tag: "abababababab",
  attributes: {},
  hostName: "host1",
  ...change,
});

export const record = (text: string, change: Partial<LogRecord> = {}): LogRecord => ({ text, stderr: false, time: "2026-01-02T03:04:05.123456789Z", ...change });

export function logDriverContract(name: string, driver: LogDriver, makeServer: (t: TestContext) => Promise<LogServer>, { reliable = true } = {}): void {
  const opened = async (t: TestContext): Promise<{ server: LogServer; sink: LogSink }> => {
    const server = await makeServer(t);
    const sink = driver.open(origin(), server.options);
    t.after(async () => {
      sink.abort();
      await server.stop();
    });
    return { server, sink };
  };

  test(`${name}: sends records in order, both streams, whatever is in them`, async (t) => {
    const { server, sink } = await opened(t);
    await sink.verify();
    const texts = ["plain", "é \u{1f600} \"quoted\" \\ <&> \t end", "x".repeat(16_384), " spaces "];
    await sink.send(texts.map((text) => record(text)));
    await sink.send([record("problem", { stderr: true })]);
    await until(() => `five records arrive: ${server.received.length} did`, () => server.received.length >= 5);
    assert.deepEqual(server.received, [...texts.map((text) => ({ text, stderr: false })), { text: "problem", stderr: true }]);
  });

  test(`${name}: closes twice, and sends again after it`, async (t) => {
    const { server, sink } = await opened(t);
    await sink.send([record("one")]);
    await until("the first record arrives", () => server.received.length > 0);
    await sink.close();
    await sink.close();
    await sink.send([record("two")]);
    await until("a record after the end arrives", () => server.received.some(({ text }) => text === "two"));
  });

  if (!reliable) return;

  test(`${name}: a server that is not there is said`, async (t) => {
    const { server, sink } = await opened(t);
    await server.stop();
    await assert.rejects(sink.verify(), Error);
    await assert.rejects(sink.send([record("nobody hears it")]), Error);
  });

  test(`${name}: what a server did not take arrives when it is back, in order`, async (t) => {
    const { server, sink } = await opened(t);
    const sent: string[] = [];
    let back: Promise<void> | undefined;
    for (let number = 0; number < 60; number++) {
      if (number === 20) {
        await server.stop();
        back = delay(200).then(() => server.start());
      }
      sent.push(`record ${number}`);
      for (let tries = 0; ; tries++) {
        try {
          await sink.send([record(`record ${number}`)]);
          break;
        } catch (error) {
          if (tries > 200) throw error;
          await delay(20);
        }
      }
    }
    await back;
    await until("the last record arrives", () => server.received.some(({ text }) => text === "record 59"));
    assert.deepEqual([...new Set(server.received.map(({ text }) => text))], sent);
  });
}
