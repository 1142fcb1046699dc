import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, dmFlag, encode, namesOf, type Reply, targetOf, targetTypesOf } from "./device-mapper.ts";

const replyOf = (data: Buffer, targetCount = 0): Reply => ({ version: "", flags: 0, openCount: 0, targetCount, minor: 0, numbers: "", data });

test("a request has the interface's version, its size, name and flags", () => {
  const request = encode({ name: "gantry-pool", flags: dmFlag.deferredRemove });
  assert.equal(request.readUInt32LE(0), 4);
  assert.equal(request.readUInt32LE(12), request.length);
  assert.equal(request.toString("utf8", 48, 60), "gantry-pool\0");
  const { version, flags, data } = decode(request);
  assert.deepEqual([version, flags], ["4.0.0", dmFlag.deferredRemove]);
  assert.equal(data.length, request.length - 312);
  assert.throws(() => encode({ name: "n".repeat(128) }), /too long/);
});

test("a table comes back as it was sent, and text that is longer than the usual room has it", () => {
  const target = { sectors: 2 ** 33, type: "thin-pool", parameters: `7:0 7:1 128 32768 ${"1 skip_block_zeroing ".repeat(300)}` };
  const request = encode({ name: "pool", target });
  const reply = decode(request);
  assert.equal(reply.targetCount, 1);
  assert.deepEqual(targetOf(reply), target);
  assert.equal(targetOf(replyOf(Buffer.alloc(0))), undefined);
});

test("a message follows its sector", () => {
  const { data } = decode(encode({ name: "pool", message: "create_snap 2 1" }));
  assert.equal(data.readBigUInt64LE(0), 0n);
  assert.equal(data.toString("utf8", 8, 24), "create_snap 2 1\0");
});

test("numbers of devices beyond 255", () => {
  const reply = encode({ name: "x" });
  reply.writeUInt32LE((253 << 8) | (0x12 << 20) | 0x34, 40);
  const { minor, numbers } = decode(reply);
  assert.deepEqual([minor, numbers], [0x1234, `253:${0x1234}`]);
});

test("lists of names and of targets", () => {
  const entry = (name: string, last: boolean): Buffer => {
    const buffer = Buffer.alloc(12 + Math.ceil((name.length + 1) / 8) * 8 + 4);
    buffer.writeBigUInt64LE(1n, 0);
    buffer.writeUInt32LE(last ? 0 : buffer.length, 8);
    buffer.write(name, 12);
    return buffer;
  };
  assert.deepEqual(namesOf(replyOf(Buffer.concat([entry("one", false), entry("another-device", true)]))), ["one", "another-device"]);
  assert.deepEqual(namesOf(replyOf(Buffer.alloc(64))), []);
  const kind = (name: string, last: boolean): Buffer => {
    const buffer = Buffer.alloc(16 + Math.ceil((name.length + 1) / 8) * 8);
    buffer.writeUInt32LE(last ? 0 : buffer.length, 0);
    buffer.write(name, 16);
    return buffer;
  };
  assert.deepEqual(targetTypesOf(replyOf(Buffer.concat([kind("thin-pool", false), kind("thin", false), kind("linear", true)]))), ["thin-pool", "thin", "linear"]);
});
