import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ExecRequest, ExecTask, Task } from "../core/runtime.ts";
import { until } from "../lib/eventually.testing.ts";
import type { OciProcess } from "../lib/oci-spec.ts";
import { cannotRun, demultiplex, readAll, specOf, stdio, TestBench } from "./runtime.testing.ts";

describe("runtime: exec", { skip: cannotRun }, () => {
  let bench: TestBench;
  let task: Task;
  let count = 0;
  before(async () => {
    bench = new TestBench();
    task = await bench.runtime.create(bench.request(["sleep", "1000"]));
  });
  after(() => bench[Symbol.asyncDispose]());

  const exec = (args: string[], change: (process: OciProcess, request: ExecRequest) => void = () => {}): Promise<ExecTask> => {
    const process = { ...specOf("x", args).process! };
    const request: ExecRequest = { id: `exec-${++count}`, process, stdio: stdio(), attach: { stdin: false, stdout: true, stderr: true } };
    change(process, request);
    return task.exec(request);
  };
  const run = async (args: string[], change?: Parameters<typeof exec>[1]): Promise<{ code: number; stdout: string; stderr: string }> => {
    const process = await exec(args, change);
    const output = demultiplex(await readAll(process.stream!));
    return { code: (await process.exited).code, ...output };
  };

  test("runs in the container's namespaces and groups, with its streams", async () => {
    const { code, stdout, stderr } = await run(["sh", "-c", "hostname; echo $$; cat /proc/1/comm; cat /proc/self/cgroup; echo err >&2; exit 4"]);
    assert.equal(code, 4);
    const [name, pid, comm, ...groups] = stdout.trim().split("\n");
    assert.equal(name, "tester");
    assert.ok(Number(pid) > 1 && Number(pid) < 1000);
    assert.equal(comm, "sleep");
    assert.ok(groups.length > 0 && groups.every((line) => line.endsWith(":/")), groups.join());
    assert.equal(stderr, "err\n");
  });

  test("has the container's seccomp filter and capabilities", async () => {
    const { stdout } = await run(["sh", "-c", "grep -E 'Seccomp:|CapEff' /proc/self/status"]);
    assert.match(stdout, /CapEff:\t00000000a80425fb\n/);
    assert.match(stdout, /Seccomp:\t2\n/);
  });

  test("stdin, half-closed", async () => {
    const process = await exec(["cat"], (_, r) => {
      r.stdio = stdio({ stdin: true, stdinOnce: true });
      r.attach = { stdin: true, stdout: true, stderr: true };
    });
    process.stream!.end("through\n");
    assert.equal(demultiplex(await readAll(process.stream!)).stdout, "through\n");
    assert.equal((await process.exited).code, 0);
  });

  test("a terminal of its own", async () => {
    const process = await exec(["sh", "-c", "tty; stty size; read x; stty size"], (p, r) => {
      p.terminal = true;
      r.stdio = stdio({ terminal: true, stdin: true, stdinOnce: true, consoleSize: { width: 90, height: 20 } });
      r.attach = { stdin: true, stdout: true, stderr: true };
    });
    await process.resize({ width: 91, height: 21 });
    await sleep(50);
    process.stream!.write("\n");
    assert.match((await readAll(process.stream!)).toString(), /^\/dev\/pts\/\d+\r\n.*21 91\r\n$/s);
    assert.equal((await process.exited).code, 0);
  });

  test("without attachment output is discarded", async () => {
    const process = await exec(["sh", "-c", "yes | head -c 3000000; exit 6"], (_, r) => delete r.attach);
    assert.equal(process.stream, undefined);
    assert.equal((await process.exited).code, 6);
  });

  test("a user by name, with home and groups", async () => {
    const { stdout } = await run(["sh", "-c", "id; echo $HOME; pwd"], (p) => {
      p.user = { uid: 0, gid: 0, username: "web" };
      p.cwd = "/tmp";
    });
    assert.equal(stdout, "uid=1000(web) gid=1001(webgroup) groups=1001(webgroup),2000(extra)\n/home/web\n/tmp\n");
  });

  test("failures are told apart", async () => {
    const failure = async (args: string[], change?: Parameters<typeof exec>[1]): Promise<{ message: string; cause: { kind: string } }> =>
      exec(args, change).then(
        () => assert.fail("it started"),
        (error: unknown) => error as { message: string; cause: { kind: string } },
      );
    const prefix = "OCI runtime exec failed: exec failed: unable to start container process: ";
    const missing = await failure(["nosuch"]);
    assert.equal(missing.message, `${prefix}exec: "nosuch": executable file not found in $PATH`);
    assert.equal(missing.cause.kind, "program-not-found");
    assert.equal((await failure(["/etc/passwd"])).message, `${prefix}exec: "/etc/passwd": permission denied`);
    assert.equal((await failure(["true"], (p) => (p.user.username = "nosuch"))).message, "unable to find user nosuch: no matching entries in passwd file");
    assert.equal((await failure(["true"], (p) => (p.user.username = "web:nosuch"))).message, "unable to find group nosuch: no matching entries in group file");
    assert.equal((await failure(["true"], (p) => (p.cwd = "/nosuch"))).message, `${prefix}chdir to cwd ("/nosuch") set in config.json failed: no such file or directory`);
  });

  test("signals", async () => {
    const process = await exec(["sleep", "1000"]);
    await process.signal(15);
    assert.equal((await process.exited).code, 143);
    await assert.rejects(process.signal(15), { code: "not-found" });
  });

  test("a child that lives on does not keep the exec", async () => {
    const process = await exec(["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done & echo started"]);
    assert.equal(demultiplex(await readAll(process.stream!)).stdout, "started\n");
    await process.exited;
    assert.equal((await task.pids()).length > 1, true, "the child is still there");
    await (await exec(["touch", "/tmp/go"])).exited;
  });

  test("a flood of execs at once", async () => {
    const codes = await Promise.all(Array.from({ length: 200 }, async (_, index) => (await (await exec(["sh", "-c", `exit ${index % 100}`], (_p, r) => delete r.attach)).exited).code));
    assert.deepEqual(codes, Array.from({ length: 200 }, (_, index) => index % 100));
    await until("all are gone", async () => (await task.pids()).length === 1);
  });

  test("an id in use is refused", async () => {
    const process = await exec(["sleep", "1000"], (_, r) => (r.id = "same"));
    await assert.rejects(exec(["true"], (_, r) => (r.id = "same")), { code: "conflict" });
    await process.signal(9);
    assert.equal((await process.exited).code, 137);
  });

  test("execs end with their task", async () => {
    const other = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const process = await other.exec({ id: "e", process: specOf("x", ["sleep", "1000"]).process!, stdio: stdio() });
    await other.signal(9);
    assert.equal((await process.exited).code, 137);
    assert.equal((await other.exited).code, 137);
    await assert.rejects(other.exec({ id: "f", process: specOf("x", ["true"]).process!, stdio: stdio() }));
    await other.release();
  });
});
