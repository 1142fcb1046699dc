import assert from "node:assert/strict";
import { test } from "node:test";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

test("sequences", () => {
  assert.deepEqual(parseDetachKeys(""), [16, 17]);
  assert.deepEqual(parseDetachKeys("a,ctrl-b,ctrl-@,ctrl-["), [97, 2, 0, 27]);
  for (const text of ["ctrl-nosuch", "ab", "a,", "ctrl-1"]) assert.throws(() => parseDetachKeys(text), { code: "invalid-parameter" });
});

test("finds the sequence over chunks and passes on what was none", () => {
  const filter = new DetachFilter([1, 98]);
  const steps: [string, string, boolean][] = [["xy", "xy", false], ["\x01", "", false], ["c", "\x01c", false], ["a\x01\x01", "a\x01", false], ["bzz", "", true]];
  for (const [input, pass, detached] of steps) {
    const step = filter.push(Buffer.from(input));
    assert.deepEqual([step.pass.toString(), step.detached], [pass, detached]);
  }
});
