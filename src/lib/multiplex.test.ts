import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, FrameReader, unframe } from "./multiplex.ts";

test("frames over chunk borders", () => {
  const bytes = Buffer.concat([frame(1, Buffer.from("one")), frame(2, Buffer.from("")), frame(2, Buffer.from("two"))]);
  const reader = new FrameReader();
  const seen = [...bytes].flatMap((byte) => reader.push(Buffer.from([byte]))).map(({ stream, data }) => [stream, data.toString()]);
  assert.deepEqual(seen, [[1, "one"], [2, ""], [2, "two"]]);
  assert.equal(unframe(bytes.subarray(0, bytes.length - 1)).toString(), "one");
});
