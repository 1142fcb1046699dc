import assert from "node:assert/strict";
import { test } from "node:test";
import { HeldMounts } from "./held-mounts.ts";

test("the first who asks mounts, the last who goes unmounts; what failed is tried anew", async () => {
  const held = new HeldMounts();
  const steps: string[] = [];
  const good = { begin: async () => void steps.push("begin"), end: async () => void steps.push("end") };
  const [one, other] = await Promise.all([held.hold("/a", good), held.hold("/a", good)]);
  await one[Symbol.asyncDispose]();
  await one[Symbol.asyncDispose]();
  assert.deepEqual([steps, held.isHeld("/a")], [["begin"], true], "twice by one is once");
  const ending = other[Symbol.asyncDispose]();
  await using again = await held.hold("/a", good);
  await ending;
  assert.deepEqual([steps, held.isHeld("/a")], [["begin", "end", "begin"], true]);
  const bad = { ...good, begin: () => Promise.reject(new Error("no")) };
  const failed = await Promise.allSettled([held.hold("/b", bad), held.hold("/b", bad)]);
  assert.deepEqual([failed.map(({ status }) => status), held.isHeld("/b")], [["rejected", "rejected"], false]);
  await (await held.hold("/b", good))[Symbol.asyncDispose]();
  assert.ok(again);
});
