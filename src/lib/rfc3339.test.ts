import assert from "node:assert/strict";
import { test } from "node:test";
import { rfc3339Nano } from "./rfc3339.ts";

test("times with as many decimals as needed", () => {
  assert.equal(rfc3339Nano(0n), "0001-01-01T00:00:00Z");
  assert.equal(rfc3339Nano(1700000000n * 1_000_000_000n), "2023-11-14T22:13:20Z");
  assert.equal(rfc3339Nano(1700000000_120000000n), "2023-11-14T22:13:20.12Z");
  assert.equal(rfc3339Nano(1700000000_000000001n), "2023-11-14T22:13:20.000000001Z");
  assert.equal(rfc3339Nano(-1n), "1969-12-31T23:59:59.999999999Z");
});
