import assert from "node:assert/strict";
import { test } from "node:test";
import { Demultiplexer } from "./demultiplex.ts";

function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

test("streams come apart however the bytes are cut", () => {
  const whole = Buffer.concat([frame(1, "one"), frame(1, "two"), frame(2, "err"), frame(1, ""), frame(1, "three")]);
  for (let size = 1; size <= whole.length; size++) {
    let [out, err] = ["", ""];
    const demultiplexer = new Demultiplexer({ stdout: (bytes) => (out += Buffer.from(bytes)), stderr: (bytes) => (err += Buffer.from(bytes)) });
    for (let at = 0; at < whole.length; at += size) demultiplexer.push(Buffer.from(whole.subarray(at, at + size)));
    assert.deepEqual([out, err], ["onetwothree", "err"], `chunks of ${size}`);
  }
});

test("neighbouring frames of a stream are written at once", () => {
  const writes: string[] = [];
  new Demultiplexer({ stdout: (bytes) => writes.push(Buffer.from(bytes).toString()), stderr: undefined }).push(Buffer.concat([frame(1, "a\n"), frame(1, "b\n")]));
  assert.deepEqual(writes, ["a\nb\n"]);
});

test("an error of the daemon within the stream is thrown, and so is garbage", () => {
  const demultiplexer = new Demultiplexer({ stdout: undefined, stderr: undefined });
  assert.throws(() => demultiplexer.push(frame(3, "disk full")), { message: "error from daemon in stream: disk full" });
  assert.throws(() => new Demultiplexer({ stdout: undefined, stderr: undefined }).push(Buffer.from("plain text")), { message: "unrecognized input header: 112" });
});
