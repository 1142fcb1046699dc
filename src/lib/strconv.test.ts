import assert from "node:assert/strict";
import { test } from "node:test";
import { atoi, parseBool, parseDuration, parseFloat64, parseInteger, parseUnsigned, quote } from "./strconv.ts";

test("quote as Go's %q", () => {
  assert.equal(quote('a"b\\c\n\t\x01\x7f é\u00a0\u200b\u{1f600}'), '"a\\"b\\\\c\\n\\t\\x01\\x7f é\\u00a0\\u200b😀"');
});

test("whole numbers", () => {
  assert.equal(atoi("-12"), -12);
  assert.equal(parseInteger("+0x1_f", 64, 0), 31n);
  assert.equal(parseInteger("010", 64, 0), 8n);
  assert.equal(parseInteger("010"), 10n);
  assert.equal(parseUnsigned("18446744073709551615"), 2n ** 64n - 1n);
  for (const text of ["", "+", "1 ", "0x1", "1_0", "٣"]) assert.throws(() => atoi(text), { message: `strconv.Atoi: parsing ${quote(text)}: invalid syntax` });
  assert.throws(() => parseUnsigned("-1"), { message: 'strconv.ParseUint: parsing "-1": invalid syntax' });
  assert.throws(() => parseInteger("9223372036854775808"), { message: 'strconv.ParseInt: parsing "9223372036854775808": value out of range' });
});

test("booleans and floats", () => {
  assert.equal(parseBool("T"), true);
  assert.throws(() => parseBool("yes"), { message: 'strconv.ParseBool: parsing "yes": invalid syntax' });
  assert.equal(parseFloat64("-.5e1"), -5);
  assert.equal(parseFloat64("-Inf"), -Infinity);
  assert.throws(() => parseFloat64("1,5"), { message: 'strconv.ParseFloat: parsing "1,5": invalid syntax' });
});

test("durations", () => {
  assert.equal(parseDuration("1h15m30.5s"), 4530.5e9);
  assert.equal(parseDuration("-1.5us"), -1500);
  assert.equal(parseDuration("0"), 0);
  assert.throws(() => parseDuration("3"), { message: 'time: missing unit in duration "3"' });
  assert.throws(() => parseDuration("3 s"), { message: 'time: unknown unit " s" in duration "3 s"' });
  assert.throws(() => parseDuration("x"), { message: 'time: invalid duration "x"' });
});
