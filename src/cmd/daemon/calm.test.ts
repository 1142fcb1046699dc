import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { CalmWatch } from "./calm.ts";

function watch(): { calm: CalmWatch; given: () => number; pass: (seconds: number) => void; work: (requests: number) => void } {
  let now = 0;
  let given = 0;
  const calm = new CalmWatch(() => given++, () => now);
  const pass = (seconds: number): void => {
    for (let step = 0; step < seconds * 10; step++) {
      now += 100;
      mock.timers.tick(100);
    }
  };
  const work = (requests: number): void => {
    for (let request = 0; request < 2 * requests; request++) calm.use();
  };
  return { calm, given: () => given, pass, work };
}

test("memory is given back a second after the start and after much work, and half a minute after little", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { calm, given, pass, work } = watch();
  calm.begin();
  pass(0.9);
  assert.equal(given(), 0);
  pass(0.3);
  assert.equal(given(), 1);
  pass(300);
  assert.equal(given(), 1, "once");
  work(100);
  for (let second = 0; second < 5; second++) {
    pass(0.9);
    work(1);
  }
  assert.equal(given(), 1, "not between requests");
  pass(1.1);
  assert.equal(given(), 2);
  work(1);
  pass(29);
  assert.equal(given(), 2);
  pass(2);
  assert.equal(given(), 3);
  work(100);
  calm.end();
  pass(60);
  assert.equal(given(), 3, "not after the end");
});
