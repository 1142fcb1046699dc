import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCsv } from "./csv.ts";
import { familiarImage, parseImageName } from "./reference.ts";
import { parseTime } from "./time.ts";

test("comma-separated values", () => {
  assert.deepEqual(parseCsv('a,"b,c",,"d""e"'), ["a", "b,c", "", 'd"e']);
  assert.throws(() => parseCsv('a"b'), { message: 'parse error on line 1, column 2: bare " in non-quoted-field' });
  assert.throws(() => parseCsv('"ab'), /extraneous or missing/);
});

test("points in time", () => {
  assert.equal(parseTime("10m", 1_000_000_000), "999400.000000000");
  assert.equal(parseTime("1700000000.5"), "1700000000.5");
  assert.equal(parseTime("2026-01-02T03:04:05.25Z"), `${Date.UTC(2026, 0, 2, 3, 4, 5) / 1000}.250000000`);
  assert.equal(parseTime("2026-01-02T03:04:05+01:00"), `${Date.UTC(2026, 0, 2, 2, 4, 5) / 1000}.000000000`);
  assert.throws(() => parseTime("x"), { message: 'failed to parse value as time or duration: "x"' });
});

test("images in lists", () => {
  assert.equal(familiarImage(`docker.io/library/nginx:1@sha256:${"a".repeat(64)}`), "nginx:1");
  assert.equal(familiarImage("not a name"), "not a name");
  assert.equal(parseImageName("a".repeat(64)), undefined);
  assert.throws(() => parseImageName("BAD"), { message: "invalid reference format: repository name (library/BAD) must be lowercase" });
});
