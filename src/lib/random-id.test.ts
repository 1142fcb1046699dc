import assert from "node:assert/strict";
import { test } from "node:test";
import { randomId } from "./random-id.ts";

test("ids are 64 digits and all different, also beyond what is asked of the kernel at once", () => {
  const ids = Array.from({ length: 300 }, randomId);
  assert.equal(new Set(ids).size, 300);
  for (const id of ids) assert.match(id, /^[0-9a-f]{64}$/);
});
