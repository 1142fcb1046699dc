import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../lib/fast-check.testing.ts";
import { reachable } from "./collect.ts";

const most = 12;
const nodes = fc.array(fc.nat(most - 1), { maxLength: 4 });
const graphs = fc.record({ roots: nodes, references: fc.array(nodes, { minLength: most, maxLength: most }) });

test("kept is exactly what a path leads to, also in circles, and each node is asked once", () => {
  fc.assert(
    fc.property(graphs, ({ roots, references }) => {
      const asked: number[] = [];
      const kept = reachable(roots, (node) => {
        asked.push(node);
        return references[node] ?? [];
      });
      /* The closure by Warshall's way, which has nothing in common with a walk. */
      const leads = references.map((to) => new Set(to));
      for (let by = 0; by < most; by++) for (const from of leads) if (from.has(by)) for (const to of leads[by] ?? []) from.add(to);
      const expected = new Set(roots.flatMap((root) => [root, ...(leads[root] ?? [])]));
      assert.deepEqual([...kept].sort((a, b) => a - b), [...expected].sort((a, b) => a - b));
      assert.equal(new Set(asked).size, asked.length);
    }),
  );
});

test("a long chain takes no stack", () => {
  assert.equal(reachable([0], (node) => (node < 100_000 ? [node + 1] : [])).size, 100_001);
});
