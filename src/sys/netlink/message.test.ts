import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../lib/fast-check.testing.ts";
import { MessageWriter, attributeList, attributeText, parseAcknowledgement, parseAttributes, parseMessages } from "./message.ts";

test("a message with attributes, as bytes", () => {
  const writer = new MessageWriter().message({ type: 0x10, flags: 0x605, sequence: 7 }, (message) => {
    message.u8(1).u8(2).u16(3).attributeString(3, "eth0").nested(18, () => message.attributeU32be(1, 5).attributeU8(2, 9));
  });
  assert.equal(
    writer.finish().toString("hex"),
    [
      "34000000 1000 0506 07000000 00000000", // length 52, type, flags, sequence, port
      "01 02 0300",
      "0900 0300 6574683000 000000", // "eth0\0", padded
      "1400 1280", // nested
      "0800 0100 00000005",
      "0500 0200 09 000000",
    ].join("").replaceAll(" ", ""),
  );
});

test("any attributes come back as they were written", () => {
  const entry = fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 300 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 40 }), (entries) => {
      const writer = new MessageWriter().message({ type: 1, flags: 2, sequence: 3 }, (message) => {
        for (const [type, value] of entries) message.attributeBytes(type, value);
      });
      const [message, ...rest] = parseMessages(writer.finish());
      assert.equal(rest.length, 0);
      assert.deepEqual(attributeList(message!.payload).map(([type, value]) => [type, Uint8Array.from(value)]), entries.map(([type, value]) => [type, Uint8Array.from(value)]));
    }),
  );
});

test("arbitrary bytes are parsed without an error, and never beyond their end", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const data = Buffer.from(bytes);
      let total = 0;
      for (const message of parseMessages(data)) {
        total += 16 + message.payload.length;
        parseAttributes(message.payload);
      }
      assert.ok(total <= data.length);
    }),
    { numRuns: 2000 },
  );
});

test("an acknowledgement carries the kernel's own words, capped or not", () => {
  const text = Buffer.from("Invalid name\0");
  for (const [flags, echoed] of [[0x300, 0], [0x200, 24]] as const) {
    const writer = new MessageWriter().message({ type: 2, flags, sequence: 1 }, (message) => {
      message.u32(-22).u32(16 + echoed).u16(16).u16(5).u32(1).u32(0).bytes(new Uint8Array(echoed)).attributeBytes(1, text);
    });
    assert.deepEqual(parseAcknowledgement(parseMessages(writer.finish())[0]!), { errno: 22, text: "Invalid name" });
  }
});

test("text ends at its NUL", () => {
  assert.equal(attributeText(Buffer.from("eth0\0junk")), "eth0");
  assert.equal(attributeText(Buffer.from("eth0")), "eth0");
  assert.equal(attributeText(undefined), "");
});
