import assert from "node:assert/strict";
import { test } from "node:test";
import { naturalOrder } from "./natural-order.ts";

test("names in the order in which people number them", () => {
  const ordered = ["", "0.0.0.0:8080", "0.0.0.0:32768", "80/tcp -> 0.0.0.0:80", "80/tcp -> [::]:80", "B", "[::]:8080", "a", "a1", "a1b", "a01", "a2", "a10", "a99999999999999999998", "a99999999999999999999", "a-", "a_", "ab"];
  assert.deepEqual(ordered.toReversed().sort(naturalOrder), ordered);
});
