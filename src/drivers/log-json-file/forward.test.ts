import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { LogRecord, LogSink } from "../../core/log-driver.ts";
import { until } from "../../lib/eventually.testing.ts";
import { LogForward, type ForwardOptions } from "./forward.ts";
import { readPosition } from "./position.ts";
import { RecordParser } from "./records.ts";
import { LogTail } from "./tail.ts";

function logIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "gantry-forward-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "x-json.log");
}

const line = (text: string, stream = "stdout", time = "2026-01-02T03:04:05.5Z"): string => `${JSON.stringify({ log: text, stream, time })}\n`;
const lines = (from: number, to: number): string => Array.from({ length: to - from }, (_, index) => line(`l${from + index}\n`)).join("");
const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, index) => `l${from + index}`);

class Sink implements LogSink {
  readonly got: string[] = [];
  fails = false;
  closed = 0;
  tries?: number;
  retryMilliseconds = 5;
  async verify(): Promise<void> {}
  async send(records: readonly LogRecord[]): Promise<undefined> {
    if (this.fails) throw new Error("nobody there");
    this.got.push(...records.map(({ text }) => text));
    return undefined;
  }
  async close(): Promise<void> {
    this.closed++;
  }
  abort(): void {}
}

interface Running {
  forward: LogForward;
  warnings: string[];
  drained: () => number;
  stop: () => Promise<void>;
}

function forwarding(t: TestContext, path: string, sink: LogSink, change: Partial<ForwardOptions> = {}): Running {
  const warnings: string[] = [];
  let drained = 0;
  const forward = new LogForward({ id: "c", path, sink, waiting: "all", keep: { files: 2, compress: false }, warn: (text) => warnings.push(text), drained: () => drained++, ...change });
  const over = forward.run();
  const stop = async (): Promise<void> => (forward.stop({ now: true }), await over);
  t.after(stop);
  return { forward, warnings, drained: () => drained, stop };
}

test("sends what is there and what comes, goes on where it stopped, and says when all is sent", async (t) => {
  const path = logIn(t);
  writeFileSync(path, lines(0, 3));
  const first = new Sink();
  const run = forwarding(t, path, first);
  await until("what is there", () => first.got.length === 3);
  appendFileSync(path, lines(3, 5));
  await until("what comes", () => first.got.length === 5);
  await run.stop();
  appendFileSync(path, lines(5, 7));
  const second = new Sink();
  const next = forwarding(t, path, second);
  next.forward.end();
  await until("all is sent", () => next.drained() === 1);
  assert.deepEqual([first.got, second.got, second.closed > 0, readPosition(path)?.drained], [numbered(0, 5), numbered(5, 7), true, true]);
});

test("follows rotations, also those that happened while nobody read, and removes old files that are sent", async (t) => {
  const path = logIn(t);
  writeFileSync(path, lines(0, 2));
  const sink = new Sink();
  const run = forwarding(t, path, sink);
  await until("the first file", () => sink.got.length === 2);
  await run.stop();
  appendFileSync(path, lines(2, 3));
  for (const [from, to] of [[3, 5], [5, 7], [7, 9]] as const) {
    for (let number = 3; number >= 1; number--) if (readdirSync(join(path, "..")).includes(`x-json.log.${number}`)) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
    renameSync(path, `${path}.1`);
    writeFileSync(path, lines(from, to));
  }
  const next = forwarding(t, path, sink);
  await until("all files", () => sink.got.length === 9);
  assert.deepEqual(sink.got, numbered(0, 9));
  next.forward.end();
  await until("all is sent", () => next.drained() === 1);
  assert.deepEqual(readdirSync(join(path, "..")).sort(), ["x-json.log", "x-json.log.1", "x-json.log.sent"]);
});

test("sent files are compressed, unsent ones stay as they are", async (t) => {
  const path = logIn(t);
  const sink = new Sink();
  sink.fails = true;
  writeFileSync(`${path}.2`, lines(0, 2));
  writeFileSync(`${path}.1`, lines(2, 4));
  writeFileSync(path, lines(4, 6));
  const run = forwarding(t, path, sink, { keep: { files: 5, compress: true } });
  await until("it was tried", () => run.warnings.length === 1);
  assert.deepEqual(readdirSync(join(path, "..")).filter((name) => name.endsWith(".gz")), []);
  sink.fails = false;
  run.forward.end();
  await until("all is sent", () => run.drained() === 1);
  assert.deepEqual(sink.got, numbered(0, 6));
  assert.deepEqual(readdirSync(join(path, "..")).sort(), ["x-json.log", "x-json.log.1.gz", "x-json.log.2.gz", "x-json.log.sent"]);
  assert.deepEqual([run.warnings.length, /cannot be sent, it is tried again: nobody there/.test(run.warnings[0] ?? ""), /is sent again/.test(run.warnings[1] ?? "")], [2, true, true]);
});

test("non-blocking: of what waits for a server that is away the oldest is not sent", async (t) => {
  const path = logIn(t);
  const sink = new Sink();
  sink.fails = true;
  writeFileSync(path, lines(0, 1000));
  const run = forwarding(t, path, sink, { waiting: line("l999\n").length * 10 });
  await until("lines are left out", () => run.warnings.some((text) => text.includes("max-buffer-size")));
  sink.fails = false;
  await until("the youngest arrive", () => sink.got.at(-1) === "l999");
  assert.deepEqual(sink.got, numbered(1000 - sink.got.length, 1000));
  assert.ok(sink.got.length >= 9 && sink.got.length <= 10, `${sink.got.length}`);
});

test("a sink that limits tries has records given up; another sink takes over at once", async (t) => {
  const path = logIn(t);
  const [bad, good] = [new Sink(), new Sink()];
  bad.fails = true;
  bad.tries = 3;
  writeFileSync(path, lines(0, 2));
  const run = forwarding(t, path, bad);
  await until("given up", () => run.warnings.some((text) => text.includes("2 lines of the log of container c are given up after 3 tries")));
  bad.retryMilliseconds = 60_000;
  appendFileSync(path, lines(2, 4));
  await delay(50);
  run.forward.change(good, { waiting: "all", keep: { files: 2, compress: false } });
  await until("the other one has them", () => good.got.length === 2);
  assert.deepEqual(good.got, numbered(2, 4));
});

test("parts of long lines have one id; what ended without a newline is not continued by another line", () => {
  const parser = new RecordParser("c");
  const [first, second, last, whole] = parser.parse(Buffer.from(line("a") + line("b") + line("c\n") + line("d\n")));
  assert.deepEqual([first?.part?.ordinal, second?.part?.ordinal, last?.part?.ordinal, first?.part?.last, last?.part?.last], [1, 2, 3, false, true]);
  assert.equal(new Set([first, second, last].map((one) => one?.part?.id)).size, 1);
  assert.equal(whole?.part, undefined);
  const [open, other, next] = parser.parse(Buffer.from(line("open") + line("other\n", "stderr") + line("next\n", "stdout", "2026-01-02T03:04:06Z")));
  assert.deepEqual([open?.part?.last, other?.part, next?.part], [false, undefined, undefined]);
  assert.deepEqual(parser.parse(Buffer.from(`{"log":"torn${line("x\n")}not json\n[]\n${line("y\n")}`)).map(({ text }) => text), ["y"]);
});

test("a tail gives whole lines only, of any length, and begins with the oldest when its file is gone", async (t) => {
  const path = logIn(t);
  writeFileSync(path, line(`${"x".repeat(5000)}\n`) + '{"log":"half');
  const tail = new LogTail(path, { file: "1.1", offset: 4000 });
  const batch = await tail.next(100);
  assert.equal(batch?.lines.length, line(`${"x".repeat(5000)}\n`).length);
  assert.equal(await tail.next(100), undefined);
  appendFileSync(path, ' more\\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}\n');
  assert.match((await tail.next(100))?.lines.toString() ?? "", /^\{"log":"half more/);
  await tail.close();
});

/** Lines that begin with "+" begin an event. Keeps each send. */
class EventSink extends Sink {
  readonly sends: string[] = [];
  events: { begins: (text: string) => boolean; milliseconds: number };
  constructor(milliseconds: number) {
    super();
    this.events = { begins: (text) => text.startsWith("+"), milliseconds };
  }
  override async send(records: readonly LogRecord[]): Promise<undefined> {
    await super.send(records);
    this.sends.push(records.map(({ text }) => text).join(" "));
  }
}

test("an event of several lines is sent whole: when the next one begins, when it has been waited for, or at the end", async (t) => {
  const path = logIn(t);
  const all = (...texts: string[]): string => texts.map((text) => line(`${text}\n`)).join("");
  writeFileSync(path, all("+1", "a", "+2", "b"));
  const sink = new EventSink(1e9);
  const run = forwarding(t, path, sink);
  await until("the first event", () => sink.sends.length === 1);
  renameSync(path, `${path}.1`);
  writeFileSync(path, all("c", "+3"));
  await until("the second event, over a rotation", () => sink.sends.length === 2);
  await run.stop();
  assert.deepEqual(sink.sends, ["+1 a", "+2 b c"]);
  const later = new EventSink(1e9);
  const next = forwarding(t, path, later);
  appendFileSync(path, all("d"));
  next.forward.end();
  await until("all is sent", () => next.drained() === 1);
  assert.deepEqual(later.sends.join(" "), "+3 d", "what was not sent comes again");
  assert.equal(readPosition(path)?.drained, true);
  await next.stop();
  const hasty = new EventSink(1);
  const last = forwarding(t, path, hasty);
  appendFileSync(path, all("+4"));
  await until("an event that nothing follows", () => hasty.sends.length === 1);
  await last.stop();
  const patient = new EventSink(1e9);
  const whole = forwarding(t, path, patient);
  const long = Array.from({ length: 5000 }, (_, index) => `part ${index} ${"x".repeat(100)}`);
  appendFileSync(path, all("+5", ...long));
  await until("an event without an end", () => patient.got.length > 1000);
  await whole.stop();
});

test("a part of a line begins no event", async (t) => {
  const path = logIn(t);
  writeFileSync(path, line("+1 begun ") + line("+2 goes on\n") + line("+3\n"));
  const sink = new EventSink(1e9);
  const run = forwarding(t, path, sink);
  await until("the first event", () => sink.sends.length === 1);
  await run.stop();
  assert.deepEqual(sink.sends, ["+1 begun  +2 goes on"]);
});
