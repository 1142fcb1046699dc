import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSignal } from "./signals.ts";

test("names, prefixes, cases, numbers and real-time signals", () => {
  const cases: [string, number][] = [["KILL", 9], ["sigkill", 9], ["SIGTERM", 15], ["15", 15], ["winch", 28], ["IO", 29], ["POLL", 29], ["RTMIN", 34], ["SIGRTMIN+3", 37], ["RTMAX-14", 50], ["RTMAX", 64], ["64", 64]];
  for (const [text, number] of cases) assert.equal(parseSignal(text), number, text);
});

test("what is no signal is named", () => {
  for (const text of ["0", "NOSUCH", "", "RTMIN+16", "RTMAX-15", "9.5", "SIGSIGKILL"]) assert.throws(() => parseSignal(text), { code: "invalid-parameter", message: `invalid signal: ${text}` });
  assert.throws(() => parseSignal("65"), { message: "the linux daemon does not support signal 65" });
  assert.throws(() => parseSignal("-1"), { message: "the linux daemon does not support signal -1" });
});
