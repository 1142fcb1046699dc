import assert from "node:assert/strict";
import { test } from "node:test";
import type { DbusMessage, DbusValue } from "./message.ts";
import { decodeMessage, encodeMessage, messageLength, splitSignature } from "./message.ts";

test("a signature's complete types", () => {
  assert.deepEqual(splitSignature("ssa(sv)a(sa(sv))aa{sv}u"), ["s", "s", "a(sv)", "a(sa(sv))", "aa{sv}", "u"]);
  for (const bad of ["a", "(s", "a)", "}", "a()"]) assert.throws(() => splitSignature(bad), RangeError);
});

test("what is encoded is decoded again", () => {
  const body: DbusValue[] = ["name", 7, -1, 2n ** 64n - 1n, true, [1, 2, 255], [["PIDs", ["au", [4, 5]]], ["Slice", ["s", "é.slice"]], ["DeviceAllow", ["a(ss)", []]]], [], 65535, -2, 0.5, -3n, "/o", "as"];
  const message: DbusMessage = { type: "call", serial: 9, path: "/a", interface: "a.b", member: "M", destination: "c.d", signature: "suitbaya(sv)atqndxog", body };
  const bytes = encodeMessage(message);
  assert.equal(messageLength(bytes), bytes.length);
  assert.deepEqual(decodeMessage(bytes), message);
});

/** The specification's layout: header fields are an array of (yv) from byte 12 on, padded to 8, then the body. */
test("the bytes of a message", () => {
  const bytes = encodeMessage({ type: "call", serial: 1, path: "/", member: "Hi", signature: "u", body: [0x01020304] });
  const fields = ["01 01 6f 00 01000000 2f 00", "000000000000 03 01 73 00 02000000 4869 00", "0000000000 08 01 67 00 01 75 00", "00"].join("");
  assert.equal(bytes.toString("hex"), `6c010001 04000000 01000000 27000000 ${fields} 04030201`.replaceAll(" ", ""));
});

test("what is no message is refused", () => {
  const whole = encodeMessage({ type: "signal", serial: 1, path: "/", interface: "a.b", member: "M", signature: "as", body: [["x", "y"]] });
  for (let length = 16; length < whole.length; length++) assert.throws(() => decodeMessage(whole.subarray(0, length)), RangeError);
  assert.throws(() => messageLength(Buffer.alloc(16, 0x42)), RangeError);
  const huge = Buffer.from(whole);
  huge.writeUInt32LE(0x7fffffff, 4);
  assert.throws(() => messageLength(huge), RangeError);
  const call = { type: "call", serial: 1, path: "/", member: "M" } as const;
  assert.throws(() => encodeMessage({ ...call, signature: "s", body: ["a\0b"] }), /a NUL/);
  assert.throws(() => encodeMessage({ ...call, signature: "ss", body: ["a"] }), /1 values for the signature "ss"/);
});
