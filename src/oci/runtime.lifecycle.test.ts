import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { GantryError } from "../lib/errors.ts";
import { cannotRun, host, TestBench, testGroup } from "./runtime.testing.ts";

const hierarchyOf = (controller: string): (typeof host.cgroups.hierarchies)[number] => host.cgroups.hierarchies.find(({ controllers }) => controllers.includes(controller))!;

describe("runtime: life of a task", { skip: cannotRun }, () => {
  let bench: TestBench;
  before(() => {
    bench = new TestBench();
  });
  after(() => bench[Symbol.asyncDispose]());

  test("runs a program, logs its output and tells its exit code", async () => {
    assert.deepEqual(await bench.run(["sh", "-c", "echo out; echo err >&2; exit 7"]), { code: 7, stdout: "out\n", stderr: "err\n", oomKilled: false });
    assert.deepEqual(bench.leftFolders(), []);
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a created task waits for its start", async () => {
    const request = bench.request(["sh", "-c", "echo started"], (_, r) => (r.autostart = false));
    const task = await bench.runtime.create(request);
    assert.equal(task.startedAt, undefined);
    assert.ok(task.pid > 0);
    assert.deepEqual(await task.pids(), [task.pid]);
    const began = Date.now();
    await task.start();
    const started = Number((task.startedAt ?? 0n) / 1_000_000n);
    assert.ok(started >= began - 50 && started <= Date.now() + 50, `${began} ${started}`);
    const exit = await task.exited;
    assert.equal(exit.code, 0);
    assert.ok(exit.at >= (task.startedAt ?? 0n));
    await assert.rejects(task.signal(9), { code: "not-found" });
    await task.release();
    await task.release();
  });

  test("a task that was never started can be ended", async () => {
    const task = await bench.runtime.create(bench.request(["true"], (_, r) => (r.autostart = false)));
    await task.signal(9, { all: true });
    assert.equal((await task.exited).code, 137);
    await task.release();
  });

  test("signals reach init, and with all every process", async () => {
    const task = await bench.runtime.create(bench.request(["sh", "-c", "trap 'exit 42' TERM; sleep 1000 & echo up; wait"]));
    while ((await task.pids()).length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await task.signal(15);
    assert.equal((await task.exited).code, 42);
    await task.release();
    const other = await bench.runtime.create(bench.request(["sleep", "1000"]));
    await other.signal(9, { all: true });
    assert.equal((await other.exited).code, 137);
    await other.release();
  });

  const failing = async (args: string[], change?: Parameters<TestBench["request"]>[1]): Promise<GantryError> => {
    const request = bench.request(args, change);
    const error = await bench.runtime.create(request).then(() => assert.fail("it started"), (thrown: unknown) => thrown as GantryError);
    assert.equal(existsSync(join(bench.execRoot, request.id)), false);
    assert.deepEqual(bench.leftCgroups(), []);
    return error;
  };
  const prefix = "OCI runtime create failed: unable to start container process: error during container init: ";

  test("programs that cannot run are told apart", async () => {
    writeFileSync(join(bench.rootfs, "etc/notexec"), "x", { mode: 0o644 });
    const cases: [string, string, string][] = [
      ["nosuch", `exec: "nosuch": executable file not found in $PATH`, "program-not-found"],
      ["", `exec: "": executable file not found in $PATH`, "program-not-found"],
      ["/no/such", `exec: "/no/such": stat /no/such: no such file or directory`, "program-not-found"],
      ["/etc/notexec", `exec: "/etc/notexec": permission denied`, "program-not-executable"],
      ["/etc", `exec: "/etc": is a directory: permission denied`, "program-not-executable"],
    ];
    for (const [program, message, kind] of cases) {
      const error = await failing([program]);
      assert.equal(error.message, prefix + message);
      assert.equal(error.code, "invalid-parameter");
      assert.equal((error.cause as { kind: string }).kind, kind);
    }
  });

  test("a program that only execve refuses fails the start", async () => {
    writeFileSync(join(bench.rootfs, "etc/garbage"), "\x01\x02not a program", { mode: 0o755 });
    const task = await bench.runtime.create(bench.request(["/etc/garbage"], (_, r) => (r.autostart = false)));
    await assert.rejects(task.start(), { message: /exec: "\/etc\/garbage": exec format error/ });
    assert.equal((await task.exited).code, 126);
    assert.deepEqual(bench.leftFolders(), []);
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a failing step is named and everything is undone", async () => {
    const error = await failing(["true"], (spec) => spec.mounts?.push({ destination: "/x", type: "nosuchfs", source: "x" }));
    assert.match(error.message, /mount \(fsopen\) "nosuchfs"/);
    assert.deepEqual(error.cause, { step: "mount", errno: "ENODEV", subject: "nosuchfs", kind: "other" });
    const bind = await failing(["true"], (spec) => spec.mounts?.push({ destination: "/x", type: "bind", source: "/no/such/source", options: ["bind"] }));
    assert.match(bind.message, /bind \(open_tree\) "\/no\/such\/source": no such file or directory/);
  });

  test("an id in use is refused and its task left alone", async () => {
    const request = bench.request(["sleep", "1000"]);
    const task = await bench.runtime.create(request);
    await assert.rejects(bench.runtime.create(request), { message: /file exists/ });
    assert.deepEqual((await task.pids()).length, 1);
    await task.signal(9);
    await task.exited;
    await task.release();
  });

  test("pause and resume", async () => {
    const task = await bench.runtime.create(bench.request(["sh", "-c", "while :; do :; done"]));
    await task.pause();
    const ticks = (): string => readFileSync(`/proc/${task.pid}/stat`, "utf8").split(" ").slice(13, 15).join();
    const before = ticks();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(ticks(), before);
    await task.resume();
    while (ticks() === before) await new Promise((resolve) => setTimeout(resolve, 5));
    await task.signal(9);
    await task.exited;
    await task.release();
  });

  test("limits are set, changed while it runs, and reported", async () => {
    const task = await bench.runtime.create(bench.request(["sleep", "1000"], (spec) => (spec.linux!.resources = { memory: { limit: 64 << 20 }, pids: { limit: 50 } })));
    const file = (controller: string, v1: string, v2 = v1): string => {
      const { mountpoint, version } = hierarchyOf(controller);
      return readFileSync(`${mountpoint}/${testGroup}/${task.id}/${version === 1 ? v1 : v2}`, "utf8").trim();
    };
    assert.equal(file("memory", "memory.limit_in_bytes", "memory.max"), String(64 << 20));
    assert.equal(file("pids", "pids.max"), "50");
    await task.update({ pids: { limit: 60 } });
    assert.equal(file("pids", "pids.max"), "60");
    assert.ok((await task.stats()).memory);
    await task.signal(9);
    await task.exited;
    await task.release();
  });

  test("the OOM killer's work is told", async () => {
    const { code, oomKilled } = await bench.run(["sh", "-c", "x=a; while :; do x=$x$x; done"], (spec) => (spec.linux!.resources = { memory: { limit: 16 << 20, swap: 16 << 20 } }));
    assert.equal(code, 137);
    assert.equal(oomKilled, true);
  });

  test("without a pid namespace of its own, what init leaves behind is killed", async () => {
    const request = bench.request(["sh", "-c", "sleep 1000 & sleep 1000 & exit 5"], (spec) => {
      spec.linux!.namespaces = spec.linux!.namespaces!.filter(({ type }) => type !== "pid");
      spec.mounts = spec.mounts!.filter(({ destination }) => destination !== "/proc");
      spec.linux!.maskedPaths = spec.linux!.readonlyPaths = [];
    });
    const task = await bench.runtime.create(request);
    assert.equal((await task.exited).code, 5);
    await task.release();
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("groups below the container's own are removed with it", async () => {
    const { code } = await bench.run(["sh", "-c", "mkdir -p /cg/a/b && echo $$ > /cg/a/b/cgroup.procs"], (spec) => {
      spec.mounts!.push({ destination: "/cg", type: "bind", source: `${hierarchyOf("pids").mountpoint}/${testGroup}`, options: ["bind"] });
    });
    assert.equal(code, 0);
  });

  test("200 tasks, 16 at a time", async () => {
    const queue = Array.from({ length: 200 }, () => bench.request(["true"], (_, r) => (r.log = { kind: "none" })));
    const worker = async (): Promise<void> => {
      for (let request = queue.pop(); request; request = queue.pop()) {
        const task = await bench.runtime.create(request);
        assert.equal((await task.exited).code, 0);
        await task.release();
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    assert.deepEqual(bench.leftFolders(), []);
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a trace names the steps with their times", async () => {
    const steps: string[] = [];
    await bench.run(["true"], (_, request) => {
      request.trace = (step, microseconds) => {
        assert.ok(microseconds >= 0);
        steps.push(step);
      };
    });
    for (const step of ["compile", "shim", "clone", "child: rootOverlay", "child: mount /proc", "child: pivotRoot", "exec: seccomp"]) assert.ok(steps.includes(step), step);
  });
});
