import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesSize, humanDuration, humanSize, parseHumanSize, parseRamSize } from "./units.ts";

const HOUR = 3_600_000;

test("ages in words", () => {
  const cases: [number, string][] = [
    [-5, "Less than a second"], [999, "Less than a second"], [1000, "1 second"], [59_999, "59 seconds"], [60_000, "About a minute"],
    [120_000, "2 minutes"], [HOUR - 1, "59 minutes"], [HOUR, "About an hour"], [1.5 * HOUR, "2 hours"], [47 * HOUR, "47 hours"],
    [48 * HOUR, "2 days"], [24 * 14 * HOUR, "2 weeks"], [24 * 60 * HOUR, "2 months"], [24 * 365 * 2 * HOUR, "2 years"],
  ];
  for (const [age, words] of cases) assert.equal(humanDuration(age), words);
});

test("sizes in words", () => {
  assert.equal(humanSize(0), "0B");
  assert.equal(humanSize(1000), "1kB");
  assert.equal(humanSize(2_746_000), "2.746MB");
  assert.equal(humanSize(4_269_678, 3), "4.27MB");
  assert.equal(humanSize(999_999, 3), "1e+03kB");
  assert.equal(bytesSize(24 * 1024 ** 3), "24GiB");
  assert.equal(bytesSize(1536), "1.5KiB");
});

test("parses sizes", () => {
  assert.equal(parseRamSize("64m"), 64 * 1024 ** 2);
  assert.equal(parseRamSize("1.5 GiB"), 1.5 * 1024 ** 3);
  assert.equal(parseRamSize("32B"), 32);
  assert.equal(parseHumanSize("44kB"), 44_000);
  assert.throws(() => parseRamSize("x"), { message: "invalid size: 'x'" });
  assert.throws(() => parseRamSize("-1"), { message: "invalid size: '-1'" });
  assert.throws(() => parseRamSize("5q"), { message: "invalid suffix: 'q'" });
  assert.throws(() => parseRamSize("5.5.5m"), { message: 'strconv.ParseFloat: parsing "5.5.5": invalid syntax' });
});
