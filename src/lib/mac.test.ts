import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "./fast-check.testing.ts";
import { formatMac, localMac, parseMac } from "./mac.ts";

test("printing and parsing are inverse", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => assert.deepEqual(parseMac(formatMac(bytes)), bytes)));
  assert.deepEqual(parseMac("02-42-AC-11-00-02"), parseMac("02:42:ac:11:00:02"));
});

test("what is no Ethernet address is none", () => {
  for (const text of ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:00:02", "02:42-ac:11:00:02", "0g:42:ac:11:00:02"]) assert.equal(parseMac(text), undefined, text);
});

test("a random address is made local and unicast", () => {
  assert.equal(formatMac(localMac(Uint8Array.of(0xff, 1, 2, 3, 4, 5))), "fe:01:02:03:04:05");
  assert.equal(formatMac(localMac(Uint8Array.of(0x00, 1, 2, 3, 4, 5))), "02:01:02:03:04:05");
});
