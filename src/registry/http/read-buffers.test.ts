import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../lib/fast-check.testing.ts";
import { ReadBuffers } from "./read-buffers.ts";

test("what goes in comes out, whatever the sizes and the order of reads", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.record({ fill: fc.integer({ min: 1, max: 300_000 }) }), fc.constant({ fill: 0 })), { maxLength: 60 }), (steps) => {
      const buffers = new ReadBuffers();
      let sent = 0;
      let got = 0;
      let held: Buffer | undefined;
      let check = 0;
      for (const { fill } of steps) {
        if (fill > 0) {
          const room = buffers.room();
          const bytes = room.subarray(0, Math.min(fill, room.length));
          bytes.fill(sent % 251);
          bytes.writeUInt8(sent % 251, 0);
          sent += bytes.length;
          buffers.received(bytes);
          if (held) assert.equal(held.readUInt8(0), check, "what is held does not change");
          continue;
        }
        held = buffers.take();
        check = held?.readUInt8(0) ?? 0;
        got += held?.length ?? 0;
        if (held) assert.ok(held.length <= 256 << 10);
      }
      for (let chunk = buffers.take(); chunk; chunk = buffers.take()) got += chunk.length;
      assert.equal(got, sent);
      buffers.dispose();
    }),
  );
});
