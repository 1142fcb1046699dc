import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogRequest, Task } from "../core/runtime.ts";
import { until } from "../lib/eventually.testing.ts";
import { cannotRun, demultiplex, logEntries, readAll, specOf, stdio, TestBench } from "./runtime.testing.ts";

const all = { stdin: true, stdout: true, stderr: true };

describe("runtime: streams", { skip: cannotRun }, () => {
  let bench: TestBench;
  before(() => {
    bench = new TestBench();
  });
  after(() => bench[Symbol.asyncDispose]());

  const end = async (task: Task): Promise<number> => {
    const { code } = await task.exited;
    await task.release();
    return code;
  };

  describe("log", () => {
    /** The log file that a program's output makes, as text. */
    const logOf = async (args: string[], log: Partial<LogRequest & { kind: "json-file" }> = {}): Promise<{ path: string; text: string }> => {
      const request = bench.request(args);
      const file = { ...request.log, ...log } as LogRequest & { kind: "json-file" };
      const task = await bench.runtime.create({ ...request, log: file });
      await end(task);
      return { path: file.path, text: readFileSync(file.path, "utf8") };
    };
    const input = (bytes: Buffer | string): string => {
      writeFileSync(join(bench.rootfs, "input"), bytes);
      return "/input";
    };
    const fields = (text: string): string[] => text.split("\n").filter(Boolean).map((line) => line.replace(/,"time":"[^"]*"}$/, "}"));

    test("is Docker's json-file format, byte by byte", async () => {
      const { text } = await logOf(["cat", input('plain\ntab\there "quoted" back\\slash\r\n<b>&amp;</b>\nätsch €😀\u2028\u2029\x7f\x01\n\n')]);
      assert.deepEqual(fields(text), [
        '{"log":"plain\\n","stream":"stdout"}',
        '{"log":"tab\\u0009here \\"quoted\\" back\\\\slash\\r\\n","stream":"stdout"}',
        '{"log":"\\u003cb\\u003e\\u0026amp;\\u003c/b\\u003e\\n","stream":"stdout"}',
        '{"log":"ätsch €😀\\u2028\\u2029\x7f\\u0001\\n","stream":"stdout"}',
        '{"log":"\\n","stream":"stdout"}',
      ]);
      for (const line of text.split("\n").filter(Boolean)) assert.match(line, /,"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z"}$/);
    });

    test("replaces what is not UTF-8", async () => {
      const { text } = await logOf(["cat", input(Buffer.from("a\xffb \xc3( \xe2\x82 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf\n", "latin1"))]);
      const bad = "\\ufffd";
      assert.deepEqual(fields(text), [`{"log":"a${bad}b ${bad}( ${bad}${bad} ${bad.repeat(3)} ${bad.repeat(4)} ${bad.repeat(2)}\\n","stream":"stdout"}`]);
    });

    test("splits long lines at 16 KiB, with the time of the first part", async () => {
      const { path } = await logOf(["cat", input(`${"x".repeat(16384)}\n${"y".repeat(40000)}\nshort\n${"z".repeat(16383)}\n`)]);
      const entries = logEntries(path);
      assert.deepEqual(entries.map(({ log }) => [log[0], log.length]), [["x", 16384], ["\n", 1], ["y", 16384], ["y", 16384], ["y", 7233], ["s", 6], ["z", 16384]]);
      assert.equal(entries[2]?.time, entries[4]?.time);
      assert.ok(entries[4]?.log.endsWith("\n"));
    });

    test("keeps an unfinished line until its end comes", async () => {
      const { text } = await logOf(["sh", "-c", "printf 'a'; sleep 0.1; printf 'b\\nno end'"]);
      assert.deepEqual(fields(text), ['{"log":"ab\\n","stream":"stdout"}', '{"log":"no end","stream":"stdout"}']);
    });

    test("has the attributes, with keys in order", async () => {
      const { text } = await logOf(["echo", "x"], { attributes: { tag: "a<b", env: 'q"' } });
      assert.match(text, /^\{"log":"x\\n","stream":"stdout","attrs":\{"env":"q\\"","tag":"a\\u003cb"\},"time":"/);
    });

    test("rotates before it would pass its limit", async () => {
      const { path } = await logOf(["sh", "-c", "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done"], { maxBytes: 4096, maxFiles: 3 });
      const files = [path, `${path}.1`, `${path}.2`];
      for (const file of files) assert.ok(readFileSync(file).length <= 4096, file);
      assert.throws(() => readFileSync(`${path}.3`), { code: "ENOENT" });
      const lines = files.toReversed().flatMap((file) => logEntries(file).map(({ log }) => log));
      const last = 399;
      assert.deepEqual(lines, lines.map((_, index) => `line ${last - lines.length + 1 + index}\n`));
    });

    test("with one file it starts anew", async () => {
      const { path, text } = await logOf(["sh", "-c", "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done"], { maxBytes: 2048, maxFiles: 1 });
      assert.ok(text.length <= 2048);
      assert.match(text, /line 199/);
      assert.throws(() => readFileSync(`${path}.1`), { code: "ENOENT" });
    });

    test("a full disk loses log lines, not the container", async () => {
      const task = await bench.runtime.create(bench.request(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 9"], (_, r) => (r.log = { kind: "json-file", path: "/dev/full", maxFiles: 1 })));
      assert.equal(await end(task), 9);
    });

    test("a log that cannot be opened fails the start", async () => {
      const request = bench.request(["true"], (_, r) => (r.log = { kind: "json-file", path: "/no/such/folder/log", maxFiles: 1 }));
      await assert.rejects(bench.runtime.create(request), { message: /log "\/no\/such\/folder\/log": no such file or directory/ });
    });

    test("a flood of output is all there", async () => {
      const { path } = await logOf(["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 200000"]);
      const entries = logEntries(path);
      assert.equal(entries.length, 200000);
      assert.ok(entries.every(({ log }) => log === "0123456789012345678901234567890123456789\n"));
    });
  });

  describe("attachments", () => {
    test("output that nobody has read yet comes whole, although the task is released meanwhile", async () => {
      const bytes = 1 << 20;
      const task = await bench.runtime.create({ ...bench.request(["dd", "if=/dev/zero", `bs=${bytes}`, "count=1"]), autostart: false });
      const stream = await task.attach({ stdin: false, stdout: true, stderr: false });
      await task.start();
      assert.equal(await end(task), 0);
      assert.equal(demultiplex(await readAll(stream)).stdout.length, bytes);
      const slow = await bench.runtime.create(bench.request(["sleep", "1000"]));
      const left = await slow.exec({ id: "dd", process: specOf("x", ["dd", "if=/dev/zero", `bs=${bytes}`, "count=1"]).process!, stdio: stdio(), attach: { stdin: false, stdout: true, stderr: false } });
      await left.exited;
      await slow.signal(9);
      assert.equal(await end(slow), 137);
      assert.equal(demultiplex(await readAll(left.stream!)).stdout.length, bytes);
    });

    const waiting = (args: string[], change: Parameters<typeof stdio>[0] = {}) =>
      bench.runtime.create(
        bench.request(args, (spec, r) => {
          r.autostart = false;
          r.stdio = stdio(change);
          spec.process!.terminal = r.stdio.terminal;
        }),
      );

    test("frames tell stdout and stderr apart, and the end comes", async () => {
      const task = await waiting(["sh", "-c", "echo out; echo err >&2"]);
      const stream = await task.attach({ stdin: false, stdout: true, stderr: true });
      await task.start();
      assert.deepEqual(demultiplex(await readAll(stream)), { stdout: "out\n", stderr: "err\n" });
      assert.equal(await end(task), 0);
    });

    test("several at once, each with what it asked for", async () => {
      const task = await waiting(["sh", "-c", "echo out; echo err >&2"]);
      const streams = await Promise.all([
        task.attach({ stdin: false, stdout: true, stderr: false }),
        task.attach({ stdin: false, stdout: false, stderr: true }),
        task.attach({ stdin: false, stdout: true, stderr: true }),
      ]);
      await task.start();
      const read = await Promise.all(streams.map(async (stream) => demultiplex(await readAll(stream))));
      assert.deepEqual(read, [{ stdout: "out\n", stderr: "" }, { stdout: "", stderr: "err\n" }, { stdout: "out\n", stderr: "err\n" }]);
      await end(task);
    });

    test("half-close ends stdin and output still comes", async () => {
      const task = await waiting(["sh", "-c", "cat; echo done"], { stdin: true, stdinOnce: true });
      const stream = await task.attach(all);
      await task.start();
      stream.end("some input\n");
      assert.equal(demultiplex(await readAll(stream)).stdout, "some input\ndone\n");
      assert.equal(await end(task), 0);
    });

    test("leaving ends stdin when it is for once, and only then", async () => {
      const once1 = await waiting(["cat"], { stdin: true, stdinOnce: true });
      const leaver = await once1.attach(all);
      await once1.start();
      leaver.destroy();
      assert.equal(await end(once1), 0);

      const kept = await waiting(["cat"], { stdin: true });
      const first = await kept.attach(all);
      await kept.start();
      first.end();
      await sleep(50);
      const second = await kept.attach(all);
      second.write("still there\n");
      const [chunk] = (await once(second, "data")) as [Buffer];
      assert.equal(demultiplex(chunk).stdout, "still there\n");
      await kept.signal(9);
      await end(kept);
    });

    test("much input passes while nobody reads the output at once", async () => {
      const task = await waiting(["cat"], { stdin: true, stdinOnce: true });
      const stream = await task.attach(all);
      await task.start();
      const bytes = Buffer.alloc(8 << 20, "0123456789abcde\n");
      stream.end(bytes);
      await sleep(200);
      const { stdout } = demultiplex(await readAll(stream));
      assert.equal(stdout.length, bytes.length);
      assert.ok(stdout === bytes.toString());
      await end(task);
    });

    test("one that does not read holds the output back; when it leaves, it goes on", async () => {
      const task = await waiting(["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 20000000; echo end"]);
      const stalled = await task.attach({ stdin: false, stdout: true, stderr: true });
      stalled.pause();
      await task.start();
      await sleep(300);
      assert.equal((await Promise.race([task.exited, sleep(10, undefined)])), undefined);
      stalled.destroy();
      assert.equal(await end(task), 0);
    });

    test("input that the process does not want is dropped", async () => {
      const task = await waiting(["sh", "-c", "exec <&-; sleep 0.3; echo over"], { stdin: true, stdinOnce: true });
      const stream = await task.attach(all);
      await task.start();
      stream.write(Buffer.alloc(1 << 20));
      assert.equal(demultiplex(await readAll(stream)).stdout, "over\n");
      assert.equal(await end(task), 0);
    });

    test("after the end there is nothing to attach to", async () => {
      const task = await waiting(["true"]);
      await task.start();
      await task.exited;
      await assert.rejects(task.attach(all), { code: "not-found" });
      await task.release();
    });

    test("many that leave at once leave nothing in the shim", async () => {
      const task = await waiting(["sleep", "1000"]);
      await task.start();
      for (let round = 0; round < 10; round++) {
        const streams = await Promise.all(Array.from({ length: 50 }, () => task.attach(all)));
        for (const stream of streams) stream.destroy();
      }
      const last = await task.attach(all);
      assert.ok(last);
      last.destroy();
      await task.signal(9);
      await end(task);
    });
  });

  describe("terminal", () => {
    const terminal = (args: string[], size = { width: 100, height: 30 }) =>
      bench.runtime.create(
        bench.request(args, (spec, r) => {
          r.autostart = false;
          r.stdio = stdio({ terminal: true, stdin: true, consoleSize: size });
          spec.process!.terminal = true;
        }),
      );

    test("is a tty with the size asked for; raw bytes; logged as stdout", async () => {
      const request = bench.request(["sh", "-c", "tty; stty size; ls -l /dev/console; echo err >&2"], (spec, r) => {
        r.stdio = stdio({ terminal: true, consoleSize: { width: 100, height: 30 } });
        spec.process!.terminal = true;
      });
      const task = await bench.runtime.create(request);
      await task.exited;
      const entries = request.log.kind === "json-file" ? logEntries(request.log.path) : [];
      assert.deepEqual(new Set(entries.map(({ stream }) => stream)), new Set(["stdout"]));
      const text = entries.map(({ log }) => log).join("");
      assert.match(text, /^\/dev\/(pts\/0|console)\r\n30 100\r\n.*136,\s+0.*\r\nerr\r\n$/s);
      await task.release();
    });

    test("input is echoed, control characters are signals, resize is seen", async () => {
      const task = await terminal(["sh", "-c", "trap 'stty size' WINCH; trap 'echo got-int; exit 3' INT; echo ready; while :; do sleep 0.05; done"]);
      const stream = await task.attach(all);
      let text = "";
      stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
      await task.start();
      const seen = (what: RegExp): Promise<void> => until(() => `${what} in ${text}`, () => what.test(text));
      await seen(/ready/);
      await task.resize({ width: 120, height: 40 });
      await seen(/40 120/);
      stream.write("\x03");
      await seen(/got-int/);
      assert.equal(await end(task), 3);
    });

    test("the end of an attachment's input does not end the terminal", async () => {
      const task = await terminal(["sh", "-c", "read x; echo got $x"]);
      const first = await task.attach(all);
      await task.start();
      first.end();
      await sleep(50);
      const second = await task.attach(all);
      second.write("hello\n");
      const text = (await readAll(second)).toString();
      assert.match(text, /got hello\r\n/);
      assert.equal(await end(task), 0);
    });

    test("resizing something without a terminal is an error", async () => {
      const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
      await assert.rejects(task.resize({ width: 1, height: 1 }), { code: "system" });
      await task.signal(9);
      await end(task);
    });
  });
});
