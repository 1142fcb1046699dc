import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { LiveContainer } from "./live.ts";

test("an end is told when attached clients have what was printed", async () => {
  const live = new LiveContainer();
  assert.equal(live.outputCarried(), undefined, "nobody is attached");
  const [reads, leaves] = [new PassThrough(), new PassThrough()];
  for (const stream of [reads, leaves]) live.attached(stream);
  const order: string[] = [];
  const carried = live.outputCarried()?.then(() => order.push("told"));
  reads.on("data", (chunk: Buffer) => order.push(chunk.toString()));
  reads.end("printed");
  leaves.destroy();
  await carried;
  assert.deepEqual(order, ["printed", "told"]);
  assert.equal(live.outputCarried(), undefined);
});

test("a client that does not read keeps nobody waiting for long", async () => {
  const live = new LiveContainer();
  const stalled = new PassThrough();
  live.attached(stalled);
  stalled.end("printed");
  await live.outputCarried();
  assert.equal(stalled.readableEnded, false);
  stalled.destroy();
});
