import assert from "node:assert/strict";
import { test } from "node:test";
import { giveBackMemory } from "./memory.ts";

test("garbage and the program's mapped pages are given back, and everything works on", () => {
  giveBackMemory();
  const before = process.memoryUsage.rss();
  let held: unknown[] = Array.from({ length: 500_000 }, (_, index) => ({ index, text: `text ${index}` }));
  const grown = process.memoryUsage.rss();
  assert.ok(grown - before > 20e6, `${before} ${grown}`);
  held = [];
  giveBackMemory();
  const after = process.memoryUsage.rss();
  assert.ok(after - before < (grown - before) / 2, `${before} ${grown} ${after}`);
  assert.equal(JSON.stringify(JSON.parse('{"a":[1,2]}')), '{"a":[1,2]}');
  assert.equal(held.length, 0);
});
