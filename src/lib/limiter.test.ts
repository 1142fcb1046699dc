import assert from "node:assert/strict";
import { test } from "node:test";
import { Limiter } from "./limiter.ts";

test("no more than the limit at once, in order, also after a failure", async () => {
  const limiter = new Limiter(2);
  const order: string[] = [];
  let running = 0;
  let most = 0;
  const work = (name: string) => async (): Promise<string> => {
    most = Math.max(most, ++running);
    order.push(name);
    await new Promise(setImmediate);
    running--;
    if (name === "b") throw new Error("b");
    return name;
  };
  const results = await Promise.allSettled(["a", "b", "c", "d"].map((name) => limiter.run(work(name))));
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  assert.deepEqual([order, most], [["a", "b", "c", "d"], 2]);
});

test("another limit holds from then on", async () => {
  const limiter = new Limiter(1);
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  let running = 0;
  const all = gates.map(({ promise }) => limiter.run(async () => (running++, await promise, running--)));
  assert.equal(running, 1);
  limiter.limit(3);
  await new Promise(setImmediate);
  assert.equal(running, 3);
  limiter.limit(1);
  for (const gate of gates.slice(0, 2)) gate.resolve();
  await Promise.all(all.slice(0, 2));
  await new Promise(setImmediate);
  assert.equal(running, 1);
  for (const gate of gates) gate.resolve();
  await Promise.all(all);
});
