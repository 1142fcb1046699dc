import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf } from "../lib/errors.ts";
import { until } from "../lib/eventually.testing.ts";
import { connectSeqpacket } from "../sys/seqpacket.ts";
import { cannotRun, demultiplex, logEntries, readAll, specOf, stdio, TestBench } from "./runtime.testing.ts";
import type { ShimTask } from "./task.ts";

/** The parent of a process. */
const parentOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]);
const alive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !/^\S+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

describe("runtime: faults", { skip: cannotRun }, () => {
  let bench: TestBench;
  before(() => {
    bench = new TestBench();
  });
  after(() => bench[Symbol.asyncDispose]());

  test("while no daemon is there, output is recorded and the task goes on", async () => {
    const first = bench.newRuntime();
    const request = bench.request(["sh", "-c", "i=0; while [ $i -lt 30 ]; do echo line $i; sleep 0.02; i=$((i+1)); done; exec cat"], (_, r) => (r.stdio = stdio({ stdin: true })));
    const task = await first.create(request);
    const exec = await task.exec({ id: "left", process: specOf("x", ["sleep", "1000"]).process!, stdio: stdio() });
    await first.close();
    const path = request.log.kind === "json-file" ? request.log.path : "";
    await until("all lines are there", () => logEntries(path).length === 30);

    const second = bench.newRuntime();
    const recovered = await second.recover(request.id);
    assert.equal(recovered.kind, "running");
    if (recovered.kind !== "running") return;
    assert.equal(recovered.task.pid, task.pid);
    assert.equal(recovered.task.startedAt, task.startedAt);
    assert.ok((await recovered.task.pids()).includes(exec.pid));
    const stream = await recovered.task.attach({ stdin: true, stdout: true, stderr: true });
    stream.write("again\n");
    const chunk = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    assert.equal(demultiplex(chunk).stdout, "again\n");
    const other = await recovered.task.exec({ id: "new", process: specOf("x", ["hostname"]).process!, stdio: stdio(), attach: { stdin: false, stdout: true, stderr: true } });
    assert.equal(demultiplex(await readAll(other.stream!)).stdout, "tester\n");
    await recovered.task.signal(9);
    assert.equal((await recovered.task.exited).code, 137);
    await recovered.task.release();
    await second.close();
  });

  test("a connection that breaks is made anew: the task and its execs go on", async () => {
    const runtime = bench.newRuntime();
    const task = await runtime.create(bench.request(["sleep", "1000"]));
    const process = (...args: string[]) => ({ process: specOf("x", args).process!, stdio: stdio() });
    const quick = await task.exec({ id: "quick", ...process("sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.01; done; exit 7") });
    const slow = await task.exec({ id: "slow", ...process("sleep", "1000") });
    // The shim hangs up on what it cannot read.
    await assert.rejects((task as ShimTask).connection.request(() => Buffer.alloc(1)));
    await (await task.exec({ id: "go", ...process("touch", "/tmp/go") })).exited;
    assert.equal((await quick.exited).code, 7);
    await slow.signal(9);
    assert.equal((await slow.exited).code, 137);
    await task.signal(9);
    assert.equal((await task.exited).code, 137);
    await task.release();
    await runtime.close();
  });

  test("what SIGKILL was sent to is not frozen again: it ends", async () => {
    const first = bench.newRuntime();
    const request = bench.request(["sleep", "1000"]);
    const task = await first.create(request);
    await task.pause();
    await task.signal(9);
    await first.close();
    const second = bench.newRuntime();
    const recovered = await second.recover(request.id);
    assert.equal(recovered.kind, "running");
    if (recovered.kind !== "running") return;
    await recovered.task.pause().catch((error: unknown) => assert.equal(codeOf(error), "not-found"));
    assert.equal((await recovered.task.exited).code, 137);
    await recovered.task.release();
    await second.close();
  });

  test("an end that nobody saw is on record, and the shim leaves", async () => {
    const first = bench.newRuntime();
    const began = BigInt(Date.now()) * 1_000_000n;
    const go = mkdtempSync(join(bench.folder, "go-"));
    const request = bench.request(["sh", "-c", "while [ ! -e /go/now ]; do sleep 0.02; done; exit 33"], (spec) => spec.mounts!.push({ destination: "/go", type: "bind", source: go, options: ["bind"] }));
    const task = await first.create(request);
    const shim = parentOf(task.pid);
    await first.close();
    writeFileSync(join(go, "now"), "");
    await until("the shim has ended", () => !alive(shim));
    const at = BigInt(Date.now()) * 1_000_000n;
    const second = bench.newRuntime();
    const recovered = await second.recover(request.id);
    assert.equal(recovered.kind, "exited");
    if (recovered.kind === "exited") {
      assert.equal(recovered.exit.code, 33);
      assert.ok(recovered.exit.at > began && recovered.exit.at < at);
    }
    assert.deepEqual(bench.leftCgroups(), []);
    await second.purge(request.id);
    assert.deepEqual(bench.leftFolders(), []);
    assert.deepEqual(await second.recover(request.id), { kind: "gone" });
    await second.close();
  });

  test("a killed shim gives 137 and everything it held is collected", async () => {
    const task = await bench.runtime.create(bench.request(["sh", "-c", "sleep 1000 & sleep 1000 & wait"]));
    await until("two children", () => readFileSync(`/proc/${task.pid}/task/${task.pid}/children`, "utf8").trim().split(" ").length === 2);
    const pids = await task.pids();
    const exec = await task.exec({ id: "e", process: specOf("x", ["sleep", "1000"]).process!, stdio: stdio() });
    process.kill(parentOf(task.pid), "SIGKILL");
    assert.equal((await task.exited).code, 137);
    assert.equal((await exec.exited).code, 137);
    await task.release();
    await until("all have ended", () => [...pids, exec.pid].every((pid) => !alive(pid)));
    assert.deepEqual(bench.leftCgroups(), []);
    assert.deepEqual(bench.leftFolders(), []);
  });

  test("a shim that was killed while no daemon was there: recover purges, and says gone", async () => {
    const first = bench.newRuntime();
    const request = bench.request(["sleep", "1000"]);
    const task = await first.create(request);
    const shim = parentOf(task.pid);
    await first.close();
    process.kill(shim, "SIGKILL");
    await until("the shim has ended", () => !alive(shim));
    assert.ok(alive(task.pid));
    assert.deepEqual(await bench.runtime.recover(request.id), { kind: "gone" });
    await until("the task has ended", () => !alive(task.pid));
    assert.deepEqual(bench.leftCgroups(), []);
    assert.deepEqual(bench.leftFolders(), []);
  });

  test("a frozen task whose shim was killed can be purged", async () => {
    const first = bench.newRuntime();
    const request = bench.request(["sleep", "1000"]);
    const task = await first.create(request);
    await task.pause();
    const shim = parentOf(task.pid);
    await first.close();
    process.kill(shim, "SIGKILL");
    await until("the shim has ended", () => !alive(shim));
    await bench.runtime.purge(request.id);
    await until("the task has ended", () => !alive(task.pid));
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a created task survives the daemon and can be started by the next", async () => {
    const first = bench.newRuntime();
    const request = bench.request(["sh", "-c", "exit 12"], (_, r) => (r.autostart = false));
    await first.create(request);
    await first.close();
    const recovered = await bench.runtime.recover(request.id);
    assert.equal(recovered.kind, "running");
    if (recovered.kind !== "running") return;
    assert.equal(recovered.task.startedAt, undefined);
    await recovered.task.start();
    assert.equal((await recovered.task.exited).code, 12);
    await recovered.task.release();
  });

  test("the launcher can be killed: tasks live, the next start has a new one", async () => {
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const launcher = parentOf(parentOf(task.pid));
    assert.match(readFileSync(`/proc/${launcher}/comm`, "utf8"), /^gantry-launch/);
    process.kill(launcher, "SIGKILL");
    await until("the launcher has ended", () => !alive(launcher));
    assert.equal((await bench.run(["echo", "still"])).stdout, "still\n");
    assert.ok(alive(task.pid));
    await task.signal(9);
    assert.equal((await task.exited).code, 137);
    await task.release();
  });

  test("the launcher keeps no dead shims, and ends when daemon and shims have gone", async () => {
    const fresh = new TestBench();
    await using _ = fresh;
    const runtime = fresh.newRuntime();
    const tasks = await Promise.all([1, 2].map(() => runtime.create(fresh.request(["sleep", "1000"]))));
    const launcher = parentOf(parentOf(tasks[0]!.pid));
    const shims = (): string[] => readFileSync(`/proc/${launcher}/task/${launcher}/children`, "utf8").trim().split(" ").filter((pid) => pid !== "");
    const [first, last] = tasks.map(({ pid }) => String(parentOf(pid)));
    await tasks[0]!.signal(9);
    await tasks[0]!.release();
    await until("the shim has ended", () => !shims().includes(first!));
    assert.ok(shims().includes(last!));
    await runtime.close();
    process.kill(tasks[1]!.pid, "SIGKILL");
    // It waits three seconds for another daemon.
    await until("the launcher has ended", () => !alive(launcher));
    await fresh.runtime.purge(tasks[1]!.id);
  });

  test("there is one launcher per exec root, also when many start it", async () => {
    const fresh = new TestBench();
    await using _ = fresh;
    const runtimes = Array.from({ length: 8 }, () => fresh.newRuntime());
    const tasks = await Promise.all(runtimes.map((runtime) => runtime.create(fresh.request(["sleep", "1000"]))));
    assert.equal(new Set(tasks.map((task) => parentOf(parentOf(task.pid)))).size, 1);
    await Promise.all(tasks.map(async (task) => {
      await task.signal(9);
      await task.exited;
      await task.release();
    }));
    await Promise.all(runtimes.map((runtime) => runtime.close()));
  });

  test("the launcher keeps fds over daemons", async () => {
    const first = bench.newRuntime();
    const fd = openSync(join(bench.rootfs, "etc/passwd"), "r");
    const { ino } = fstatSync(fd);
    await first.launcher.put("listener", [fd, fd]);
    await first.close();
    closeSync(fd);
    const second = bench.newRuntime();
    const fds = await second.launcher.get("listener");
    assert.equal(fds?.length, 2);
    assert.equal(fstatSync(fds[0]!).ino, ino);
    fds.forEach((each) => closeSync(each));
    await second.launcher.drop("listener");
    assert.equal(await second.launcher.get("listener"), undefined);
    await second.close();
  });

  test("kill -9 of the daemon at any moment of a start leaves a task or nothing", async () => {
    const fresh = new TestBench();
    await using _ = fresh;
    const script = `
      import { ShimRuntime } from ${JSON.stringify(join(import.meta.dirname, "runtime.ts"))};
      import { readFileSync } from "node:fs";
      import { detectHost } from ${JSON.stringify(join(import.meta.dirname, "host.ts"))};
      const runtime = new ShimRuntime({ execRoot: ${JSON.stringify(fresh.execRoot)}, host: detectHost() });
      await runtime.launcher.open();
      process.stdout.write("ready\\n");
      await new Promise((resolve) => process.stdin.once("data", resolve));
      await runtime.create(JSON.parse(readFileSync(process.argv[1], "utf8")));
    `;
    const other = await fresh.runtime.create(fresh.request(["sleep", "1000"]));
    const launcher = parentOf(parentOf(other.pid));
    const shims = (): string[] => readFileSync(`/proc/${launcher}/task/${launcher}/children`, "utf8").trim().split(" ");
    await until("its shim and a spare one are there", () => shims().length === 2);
    const others = shims();
    const folders = fresh.leftFolders();
    const groups = fresh.leftCgroups();
    for (let round = 0; round < 8; round++) {
      const request = fresh.request(["sleep", "1000"]);
      const file = join(fresh.folder, "request.json");
      writeFileSync(file, JSON.stringify(request));
      const child = spawn(process.execPath, ["--input-type=module", "-e", script, file], { stdio: ["pipe", "pipe", "inherit"] });
      const exited = new Promise((resolve) => child.once("exit", resolve));
      await Promise.race([exited, new Promise((resolve) => child.stdout.once("data", resolve))]);
      child.stdin.write("go\n");
      await sleep(round * 0.7);
      child.kill("SIGKILL");
      await exited;
      await sleep(50);
      await until("the start has come to an end", async () => shims().every((pid) => others.includes(pid)) || (await fresh.runtime.recover(request.id)).kind === "running");
      const recovered = await fresh.runtime.recover(request.id);
      if (recovered.kind === "running") {
        await recovered.task.signal(9);
        await recovered.task.exited;
        await recovered.task.release();
      } else await fresh.runtime.purge(request.id);
      assert.deepEqual(fresh.leftCgroups(), groups, `round ${round}`);
      assert.deepEqual(fresh.leftFolders(), folders, `round ${round}`);
    }
    await other.signal(9);
    await other.exited;
    await other.release();
  });

  test("sockets are the user's own, and nobody else's", async () => {
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const mode = (path: string): string => execFileSync("stat", ["-c", "%a", path]).toString().trim();
    assert.equal(mode(join(bench.execRoot, task.id)), "700");
    assert.equal(mode(join(bench.execRoot, task.id, "shim.sock")), "600");
    assert.equal(mode(join(bench.execRoot, "launcher.sock")), "600");
    assert.throws(() => connectSeqpacket(join(bench.execRoot, "no.sock")), { code: "ENOENT" });
    await task.signal(9);
    await task.exited;
    await task.release();
  });

  test("no fds pile up in the shim", async () => {
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const shim = parentOf(task.pid);
    const target = (fd: string): string[] => {
      try {
        return [readlinkSync(`/proc/${shim}/fd/${fd}`).replace(/\d+/g, "N")];
      } catch {
        return []; // Closed meanwhile.
      }
    };
    const fds = (): string[] => readdirSync(`/proc/${shim}/fd`).flatMap(target).toSorted();
    const before = fds();
    for (let round = 0; round < 20; round++) {
      const exec = await task.exec({ id: `e${round}`, process: specOf("x", ["cat"]).process!, stdio: stdio({ stdin: true, stdinOnce: true }), attach: { stdin: true, stdout: true, stderr: true } });
      exec.stream!.end("x");
      await readAll(exec.stream!);
      await exec.exited;
      await task.exec({ id: `f${round}`, process: specOf("x", ["nosuch"]).process!, stdio: stdio() }).catch(() => undefined);
      (await task.attach({ stdin: true, stdout: true, stderr: true })).destroy();
    }
    await until("the descriptors are as before", () => fds().length === before.length);
    assert.deepEqual(fds(), before);
    await task.signal(9);
    await task.exited;
    await task.release();
  });
});
