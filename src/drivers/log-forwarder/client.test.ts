import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import type { ForwardTarget } from "../../core/log-forwarder.ts";
import { LogForwarderProcess } from "./client.ts";

test("a process that is killed in the middle of a report is started again, and the report is nothing", async () => {
  const warnings: string[] = [];
  const again = Promise.withResolvers<void>();
  let starts = 0;
  const forwarder = new LogForwarderProcess({
    start: () => {
      if (++starts === 2) again.resolve();
      return spawn("sh", ["-c", starts === 1 ? `printf '{"kind":"warning","te'; kill -9 $$` : "cat >/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    },
    isBehind: () => false,
    warn: (text) => warnings.push(text),
  });
  forwarder.forward({ id: "a" } as ForwardTarget);
  // What starts it again keeps no process alive by itself.
  const alive = setInterval(() => {}, 1000);
  await again.promise;
  clearInterval(alive);
  await forwarder.close();
  assert.deepEqual(warnings, ["sending logs on: gantry-logs: it ended with SIGKILL; it is started again"]);
});
