import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Task } from "../../../core/runtime.ts";
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

test("who has seen the end of the output finds the end, too; of a program that only closed its streams, nobody waits for it", async () => {
  const live = new LiveContainer();
  const output = new PassThrough();
  live.task = {} as Task;
  live.attached(output.resume());
  output.end();
  await once(output, "end");
  let over = false;
  const waited = live.ending?.then(() => (over = true));
  await setImmediate();
  assert.ok(!over);
  live.tellExit({ exitCode: 3, error: "" });
  await waited;
  assert.deepEqual([over, live.ending], [true, undefined]);
  const closed = new PassThrough();
  live.attached(closed.resume());
  closed.end();
  await once(closed, "end");
  // Its timer keeps no process alive.
  const alive = setTimeout(() => {}, 60_000);
  await live.ending;
  clearTimeout(alive);
});
