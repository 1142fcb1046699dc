import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ExecTask, Task } from "../core/runtime.ts";
import { codeOf } from "../lib/errors.ts";
import { until } from "../lib/eventually.testing.ts";
import { cannotRun, host, specOf, stdio, TestBench, testGroup } from "./runtime.testing.ts";

const freezer = host.cgroups.hierarchies.find(({ version, controllers }) => version === 1 && controllers.includes("freezer"));

const startExec = (task: Task, id: string): Promise<ExecTask | Error> => task.exec({ id, process: specOf("x", ["true"]).process!, stdio: stdio() }).catch((error: Error) => error);

describe("runtime: ends that meet starts and pauses", { skip: cannotRun }, () => {
  let bench: TestBench;
  before(() => {
    bench = new TestBench();
  });
  after(() => bench[Symbol.asyncDispose]());

  test("an exec that was frozen while it started ends with its task", { skip: freezer ? false : "the freezer is not of cgroup v1" }, async () => {
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const group = `${freezer!.mountpoint}/${testGroup}/${task.id}`;
    // As if init had been past freezing when the pause came.
    writeFileSync(`${dirname(group)}/cgroup.procs`, String(task.pid));
    writeFileSync(`${group}/freezer.state`, "FROZEN");
    const exec = startExec(task, "e");
    await until("the exec is in its group", () => readFileSync(`${group}/cgroup.procs`, "utf8") !== "");
    await task.signal(9);
    assert.equal((await task.exited).code, 137);
    const failure = await exec;
    assert.equal(codeOf(failure), "not-found", String(failure));
    await task.release();
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a pause after init's end freezes nothing", { skip: freezer ? false : "the freezer is not of cgroup v1" }, async () => {
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const group = `${freezer!.mountpoint}/${testGroup}/${task.id}`;
    const shim = Number(readFileSync(`/proc/${task.pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]);
    process.kill(shim, "SIGSTOP");
    try {
      process.kill(task.pid, "SIGKILL");
      await until("init has ended", () => /^State:\s+Z/m.test(readFileSync(`/proc/${task.pid}/status`, "utf8")));
      await task.pause();
      assert.equal(readFileSync(`${group}/freezer.state`, "utf8"), "THAWED\n");
    } finally {
      process.kill(shim, "SIGCONT");
    }
    assert.equal((await task.exited).code, 137);
    await task.release();
  });

  test("execs, a pause and a kill at the same moment: each is done or told that the task has ended, and nothing is left", async () => {
    for (let round = 0; round < 40; round++) {
      const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
      const execs = Promise.all(["a", "b", "c"].map((id) => startExec(task, id)));
      const after = async (turns: number, run: () => Promise<void>): Promise<unknown> => {
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        return await run().then(() => undefined, (error: unknown) => error);
      };
      const [killed, paused] = await Promise.all([after((round % 8) * 8, () => task.signal(9)), after(Math.trunc(round / 8) * 12, () => task.pause())]);
      assert.equal(killed, undefined);
      // As the engine does: it knows of the pause when it succeeded.
      if (paused === undefined) await task.resume().catch((error: unknown) => assert.equal(codeOf(error), "not-found"));
      else assert.equal(codeOf(paused), "not-found", String(paused));
      assert.equal((await task.exited).code, 137);
      await task.release();
      for (const exec of await execs) if (exec instanceof Error) assert.equal(codeOf(exec), "not-found", String(exec));
      assert.deepEqual(bench.leftCgroups(), [], `round ${round}`);
    }
  });
});
