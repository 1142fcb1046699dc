import assert from "node:assert/strict";
import { test } from "node:test";
import { Seen } from "./stream.ts";

test("what a log repeats is shown once, of each stream, however it is cut", () => {
  const seen = new Seen();
  const take = (stream: "stdout" | "stderr", text: string): string => Buffer.from(seen.take(stream, Buffer.from(text))).toString();
  assert.deepEqual([take("stdout", "one "), take("stderr", "two"), take("stdout", "three")], ["one ", "two", "three"]);
  for (let lives = 0; lives < 2; lives++) {
    seen.repeat();
    assert.deepEqual([take("stdout", "one th"), take("stderr", "two"), take("stdout", "ree")], ["", "", ""]);
  }
  assert.deepEqual([take("stdout", " four"), take("stderr", " five")], [" four", " five"]);
  seen.repeat();
  assert.deepEqual([take("stdout", "one three four six"), take("stderr", "two fi"), take("stderr", "ve seven")], [" six", "", " seven"]);
});
