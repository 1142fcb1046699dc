import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedQueue } from "./keyed-queue.ts";

test("in turn for one key, also after a failure; side by side for two", async () => {
  const queue = new KeyedQueue();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = queue.run("a", async () => {
    await gate.promise;
    order.push("a1");
    throw new Error("no");
  });
  const second = queue.run("a", () => void order.push("a2"));
  await queue.run("b", () => void order.push("b"));
  gate.resolve();
  await assert.rejects(first, { message: "no" });
  await second;
  assert.deepEqual(order, ["b", "a1", "a2"]);
});
