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
