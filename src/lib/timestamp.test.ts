import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUnixTimestamp } from "./timestamp.ts";

test("seconds and fractions", () => {
  assert.equal(parseUnixTimestamp("0"), 0n);
  assert.equal(parseUnixTimestamp("1700000000"), 1700000000000000000n);
  assert.equal(parseUnixTimestamp("1700000000.5"), 1700000000500000000n);
  assert.equal(parseUnixTimestamp("1700000000.0000000019"), 1700000000000000001n);
});

test("what is no number is named", () => {
  assert.throws(() => parseUnixTimestamp("x"), { code: "invalid-parameter", message: 'invalid timestamp "x": invalid seconds "x": invalid syntax' });
  assert.throws(() => parseUnixTimestamp("1.x"), { message: 'invalid timestamp "1.x": invalid nanoseconds: invalid character \'x\' at position 0' });
  assert.throws(() => parseUnixTimestamp("99999999999999999999"), { message: /value out of range/ });
});
