/** Runs of ports against the single ports that they stand for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../lib/fast-check.testing.ts";
import { countOf, counted, joined, singles, withoutSingles } from "./port-runs.ts";
import type { PortRun } from "./port-runs.ts";

interface Kinded extends PortRun {
  kind: string;
}

const run = fc.record({ kind: fc.constantFrom("a", "b"), port: fc.integer({ min: 1, max: 20 }), hostPort: fc.constantFrom(0, 1, 2, 5, 100), count: fc.integer({ min: 1, max: 4 }) }).map(({ count, ...first }): Kinded => ({ ...first, ...counted(count) }));
const texts = (runs: readonly Kinded[]): string[] => singles(runs).map(({ kind, port, hostPort, ...more }) => [kind, port, hostPort, ...Object.keys(more)].join(" ")).sort();

test("what is joined are the same ports, and none that continues another is left", () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 12 }), (runs) => {
      const made = joined(runs, ({ kind }) => kind);
      assert.deepEqual(texts(made), texts(runs));
      for (const kind of ["a", "b"]) {
        const own = made.filter((one) => one.kind === kind);
        own.slice(1).forEach((one, index) => {
          const before = own[index]!;
          const next = before.hostPort === 0 ? 0 : before.hostPort + countOf(before);
          assert.ok(one.port !== before.port + countOf(before) || one.hostPort !== next);
        });
      }
    }),
  );
});

test("without some ports the others are left, and runs that have none of them as they are", () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 24 })), (runs, gone) => {
      const left = withoutSingles(runs, ({ port }) => gone.includes(port));
      assert.deepEqual(texts(left), texts(singles(runs).filter(({ port }) => !gone.includes(port))));
      for (const one of runs) if (!singles([one]).some(({ port }) => gone.includes(port))) assert.ok(left.includes(one));
    }),
  );
});
