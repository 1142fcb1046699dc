import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTimeOrDuration } from "./time-or-duration.ts";

test("durations, dates and seconds", () => {
  const now = 1_700_000_000_000_000_000n;
  const cases: [text: string, expected: bigint][] = [
    ["10m", now - 600_000_000_000n],
    ["1h30m", now - 5_400_000_000_000n],
    ["0", 0n],
    ["1000000000", 1_000_000_000_000_000_000n],
    ["1000000000.25", 1_000_000_000_250_000_000n],
    ["-1", -1_000_000_000n],
    ["2001-09-09T01:46:40Z", 1_000_000_000_000_000_000n],
    ["2001-09-09T01:46:40.000000001Z", 1_000_000_000_000_000_001n],
    ["2001-09-09T03:46:40+02:00", 1_000_000_000_000_000_000n],
    ["2001-09-09T01:46Z", 999_999_960_000_000_000n],
  ];
  for (const [text, expected] of cases) assert.equal(parseTimeOrDuration(text, now), expected, text);
});

test("what is none of them is refused in Docker's words", () => {
  assert.throws(() => parseTimeOrDuration("x"), { message: 'failed to parse value as time or duration: invalid seconds "x": invalid syntax' });
  assert.throws(() => parseTimeOrDuration(" "), { message: "failed to parse value as time or duration: value is empty" });
  assert.throws(() => parseTimeOrDuration("2001-13-45"), /parsing time/);
  assert.throws(() => parseTimeOrDuration("99999999999999999999"), /value out of range/);
});
