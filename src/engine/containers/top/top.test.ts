import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePsArguments } from "./arguments.ts";
import { duration, readMachine } from "./columns.ts";
import { parseProcess, readProcess } from "./process.ts";

const titles = (text: string): string[] => parsePsArguments(text.split(" ")).map((column) => column.title);

test("layouts", () => {
  assert.deepEqual(titles("-ef"), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
  assert.deepEqual(titles("aux"), ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]);
  assert.deepEqual(titles("-eo pid,comm"), ["PID", "COMMAND"]);
  assert.deepEqual(titles("-o pid -o args=WHAT"), ["PID", "WHAT"]);
  assert.deepEqual(titles("--format=pid,user"), ["PID", "USER"]);
  assert.deepEqual(titles("-e"), ["PID", "TTY", "TIME", "CMD"]);
});

test("what cannot be printed is refused by name", () => {
  assert.throws(() => titles("-o comm"), { code: "system", message: "Couldn't find PID field in ps output" });
  assert.throws(() => titles("--nosuch"), { message: /ps: error: the option --nosuch/ });
  assert.throws(() => titles("-o pid,nosuch"), { message: /"nosuch"/ });
  assert.throws(() => titles("-o comm=PID,pid"), { message: 'specifying "comm=PID" is not allowed' });
});

test("a process with blanks and parentheses in its name", () => {
  const fields = ["S", 1, 2, 3, 34816, 2, 0, 0, 0, 0, 0, 150, 50, 0, 0, 20, 0, 3, 0, 1000, 2048000, 10];
  const process = parseProcess({ pid: 42, stat: `42 (a) (b c) ${fields.join(" ")}`, status: "Name:\tx\nUid:\t0\t1000\t0\t0\nGid:\t0\t7\t0\t0\n", cmdline: "a\0b c\0\0" }, 5000);
  assert.equal(process.comm, "a) (b c");
  assert.deepEqual(process.args, ["a", "b c", ""]);
  assert.deepEqual([process.ppid, process.uid, process.gid, process.cpuSeconds, process.threads, process.startedAt], [1, 1000, 7, 2, 3, 15000]);
});

test("durations", () => {
  assert.deepEqual([duration(5, false), duration(5, true), duration(3661, false), duration(90061, true)], ["00:05", "00:00:05", "01:01:01", "1-01:01:01"]);
});

test("this process, by every column", async () => {
  const self = await readProcess(process.pid);
  assert.ok(self);
  const machine = readMachine();
  for (const column of parsePsArguments(["aux"])) assert.notEqual(column.value(self, machine), "", column.title);
  assert.equal(await readProcess(2 ** 22 + 1), undefined);
});
