/** Tasks of other runtimes, real runc and crun where they run: what our shim and their commands make of them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { capabilityNames } from "../core/oci-defaults.ts";
import type { RuntimeProgram, Task, TaskRequest } from "../core/runtime.ts";
import { until } from "../lib/eventually.testing.ts";
import { cannotRun, demultiplex, host, logEntries, readAll, specOf, stdio, TestBench } from "./runtime.testing.ts";

/** Debian's crun: "cgroups in hybrid mode not supported". */
const isHybrid = host.cgroups.hierarchies.some(({ version }) => version === 2) && host.cgroups.hierarchies.some(({ version }) => version === 1);

for (const name of ["runc", "crun"]) {
  const path = ["/usr/sbin", "/usr/bin"].map((folder) => `${folder}/${name}`).find(existsSync);
  const program: RuntimeProgram = { path: path ?? "", args: [] };
  const skip = cannotRun || (path === undefined && `needs ${name}`) || (name === "crun" && isHybrid && "crun refuses hybrid cgroups");
  describe(`containers of ${name}`, { skip }, () => containersOf(program));
}

function containersOf(program: RuntimeProgram): void {
  const foreign = (request: TaskRequest): TaskRequest => ({ ...request, runtime: program });
  let bench: TestBench;
  before(() => (bench = new TestBench()));
  after(async () => {
    const left = [...bench.leftFolders(), ...bench.leftCgroups()];
    await bench[Symbol.asyncDispose]();
    assert.deepEqual(left, []);
  });
  const run = (args: string[], change?: Parameters<TestBench["request"]>[1]): Promise<Task> => bench.runtime.create(foreign(bench.request(args, change)));
  const ended = async (task: Task): Promise<number> => {
    const { code } = await task.exited;
    await task.release();
    return code;
  };

  test("output, exit code, and the user's numbers", async () => {
    const request = foreign(bench.request(["sh", "-c", "id; echo err >&2; exit 7"], (spec) => Object.assign(spec.process!, { user: { uid: 0, gid: 0, username: "web", additionalGroups: ["other"] } })));
    const task = await bench.runtime.create(request);
    assert.equal(await ended(task), 7);
    const lines = logEntries((request.log as { path: string }).path);
    assert.deepEqual(lines.map(({ log, stream }) => [stream, log.trim()]).sort(), [["stderr", "err"], ["stdout", "uid=1000(web) gid=1001(webgroup) groups=1001(webgroup),2000(extra),2001(other)"]]);
  });

  test("capabilities that the machine lacks are left out", async () => {
    const every = capabilityNames.filter((_, bit) => (host.capabilities >> BigInt(bit)) & 1n);
    const request = foreign(bench.request(["sh", "-c", "grep CapEff /proc/self/status"], (spec) => Object.assign(spec.process!, { capabilities: { bounding: [...capabilityNames], effective: [...capabilityNames], permitted: [...capabilityNames] } })));
    assert.equal(await ended(await bench.runtime.create(request)), 0);
    const mask = BigInt(`0x${logEntries((request.log as { path: string }).path)[0]!.log.split("\t")[1]!.trim()}`);
    assert.deepEqual(capabilityNames.filter((_, bit) => (mask >> BigInt(bit)) & 1n), every);
  });

  test("attached before the start; input; a terminal of a size", async () => {
    const request = foreign(bench.request(["sh", "-c", "stty size; read line; echo got $line; tty"], (_, one) => Object.assign(one, { autostart: false, stdio: stdio({ terminal: true, stdin: true, consoleSize: { width: 71, height: 17 } }) })));
    const task = await bench.runtime.create(request);
    const stream = await task.attach({ stdin: true, stdout: true, stderr: true });
    await task.start();
    stream.write("abc\n");
    const text = (await readAll(stream)).toString();
    assert.match(text, /17 71[\s\S]*got abc[\s\S]*\/dev\/pts\/0/);
    assert.equal(await ended(task), 0);
  });

  test("execs: quick ones, with output, with a terminal, by user, one that is missing", async () => {
    const task = await run(["sleep", "1000"]);
    const process = (...args: string[]) => ({ process: specOf("x", args).process!, stdio: stdio() });
    const attach = { stdin: false, stdout: true, stderr: true };
    for (let i = 0; i < 5; i++) assert.equal((await (await task.exec({ id: `quick${i}`, ...process("sh", "-c", `exit ${i}`) })).exited).code, i);
    const web = await task.exec({ id: "web", process: { ...specOf("x", ["sh", "-c", "id -un; echo e >&2"]).process!, user: { uid: 0, gid: 0, username: "web" } }, stdio: stdio(), attach });
    assert.deepEqual(demultiplex(await readAll(web.stream!)), { stdout: "web\n", stderr: "e\n" });
    const terminal = await task.exec({ id: "tty", process: specOf("x", ["sh", "-c", "tty; stty size"]).process!, stdio: stdio({ terminal: true, consoleSize: { width: 33, height: 11 } }), attach });
    assert.match((await readAll(terminal.stream!)).toString(), /\/dev\/pts\/\d\r\n11 33\r\n/);
    await assert.rejects(task.exec({ id: "none", ...process("nosuch") }), /OCI runtime exec failed: .*(exec: "nosuch": executable file not found|executable file `nosuch` not found) in \$PATH/);
    await assert.rejects(task.exec({ id: "nobody", process: { ...specOf("x", ["true"]).process!, user: { uid: 0, gid: 0, username: "nobody-here" } }, stdio: stdio() }), /unable to find user nobody-here/);
    const slow = await task.exec({ id: "slow", ...process("sleep", "1000") });
    await slow.signal(9);
    assert.equal((await slow.exited).code, 137);
    await task.signal(9);
    assert.equal(await ended(task), 137);
  });

  test("pause, resume, limits, processes, statistics", async () => {
    const task = await run(["sleep", "1000"]);
    await task.resume();
    await task.pause();
    await task.pause();
    const status = (): string => (JSON.parse(execFileSync(program.path, ["--root", join(bench.execRoot, task.id, "state"), "state", task.id], { encoding: "utf8" })) as { status: string }).status;
    assert.equal(status(), "paused");
    await task.resume();
    assert.equal(status(), "running");
    await task.update({ memory: { limit: 64 << 20 } });
    const stats = await task.stats();
    assert.equal(stats.memory?.limit, 64 << 20);
    assert.deepEqual(await task.pids(), [task.pid]);
    await task.signal(15);
    await task.signal(9, { all: true });
    assert.equal(await ended(task), 137);
  });

  test("what fails leaves nothing, and says why in the runtime's words", async () => {
    await assert.rejects(run(["nosuch"]), (error: Error) => /^OCI runtime create failed: .*(exec: "nosuch": executable file not found|executable file `nosuch` not found) in \$PATH/.test(error.message) && (error.cause as { kind: string }).kind === "program-not-found");
    const missing = bench.runtime.create({ ...bench.request(["true"]), runtime: { path: "/nonexistent/runtime", args: [] } });
    await assert.rejects(missing, /OCI runtime create failed: .*\/nonexistent\/runtime.*no such file or directory/);
    await assert.rejects(bench.runtime.create({ ...bench.request(["true"]), runtime: { path: "/bin/false", args: [] } }), /OCI runtime create failed/);
    // It ends well, but leaves no process.
    await assert.rejects(bench.runtime.create({ ...bench.request(["true"]), runtime: { path: "/bin/true", args: [] } }), /OCI runtime create failed.*pidFile/);
    await assert.rejects(run(["true"], (spec) => spec.mounts!.push({ destination: "/x", type: "bind", source: "/tmp", options: ["rbind", "rshared"] })), /mount propagation "shared" of \/x is supported by the default runtime only/);
    assert.deepEqual(bench.leftFolders(), []);
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a runtime that breaks at any step, and one that lies: everything is undone", async () => {
    // The command that it is told by its first argument fails, or is done by a script of its own.
    const broken = join(bench.folder, "broken");
    writeFileSync(broken, `#!/bin/sh
what=$1; how=$2; shift 2
for word; do
  [ "$previous" = --log ] && log=$word
  [ "$previous" = --pid-file ] && pidfile=$word
  previous=$word
  [ "$word" = "$what" ] && command=$word
done
[ "$command" = "$what" ] || exec ${program.path} "$@"
eval "$how"
`, { mode: 0o755 });
    const fails = 'echo "{\\"level\\":\\"error\\",\\"msg\\":\\"broken by test\\"}" > $log; exit 1';
    const with_ = (what: string, how: string, change?: Parameters<TestBench["request"]>[1]): TaskRequest => ({ ...bench.request(["sleep", "1000"], change), runtime: { path: broken, args: [what, how] } });
    const nothingIsLeft = (): void => {
      assert.deepEqual(bench.leftFolders(), []);
      assert.deepEqual(bench.leftCgroups(), []);
    };
    await assert.rejects(bench.runtime.create(with_("create", fails)), /^GantryError: OCI runtime create failed: broken by test/);
    nothingIsLeft();
    await assert.rejects(bench.runtime.create(with_("start", fails)), /OCI runtime start failed: broken by test/);
    nothingIsLeft();
    const created = await bench.runtime.create(with_("start", fails, (_, request) => Object.assign(request, { autostart: false })));
    await assert.rejects(created.start(), /OCI runtime start failed: broken by test/);
    nothingIsLeft();
    // It names a process that is not the container's, and one that is none.
    await assert.rejects(bench.runtime.create(with_("create", "echo 1 > $pidfile")), /OCI runtime create failed: .*adopt/);
    await assert.rejects(bench.runtime.create(with_("create", "echo x > $pidfile")), /OCI runtime create failed: .*pidFile/);
    await assert.rejects(bench.runtime.create(with_("create", "kill -9 $$")), /OCI runtime create failed: .*command/);
    // A terminal that never comes: the runtime makes its container without one.
    const withoutTerminal = 'setsid sleep 1000 & echo $! > $pidfile';
    await assert.rejects(bench.runtime.create(with_("create", withoutTerminal, (_, request) => Object.assign(request, { stdio: stdio({ terminal: true }) }))), /OCI runtime create failed: .*console/);
    nothingIsLeft();
    // The daemon goes away while the runtime hangs; the next one ends it.
    const hanging = with_("create", "exec sleep 1000");
    const first = bench.newRuntime();
    const lost = assert.rejects(first.create(hanging));
    await until("the shim is there", () => existsSync(join(bench.execRoot, hanging.id, "shim.sock")));
    const found = await bench.runtime.recover(hanging.id);
    assert.ok(found.kind === "running" && found.task.startedAt === undefined);
    await found.task.signal(9, { all: true });
    await found.task.release();
    await lost;
    await first.close();
    nothingIsLeft();
    // What it cannot take away, and cannot kill, goes all the same.
    for (const command of ["delete", "kill"]) {
      const task = await bench.runtime.create(with_(command, fails));
      await task.signal(9);
      assert.equal(await ended(task), 137);
      nothingIsLeft();
    }
  });

  test("found again by another runtime object; its end told by the record", async () => {
    const first = bench.newRuntime();
    const request = foreign(bench.request(["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 9"]));
    await first.create(request);
    await first.close();
    const found = await bench.runtime.recover(request.id);
    assert.ok(found.kind === "running" && found.task.startedAt !== undefined);
    await (await found.task.exec({ id: "go", process: specOf("x", ["touch", "/tmp/go"]).process!, stdio: stdio() })).exited;
    assert.equal(await ended(found.task), 9);
  });

  test("a killed shim takes its container along", async () => {
    const task = await run(["sleep", "1000"]);
    const shim = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${task.pid}/status`, "utf8"))?.[1]);
    process.kill(shim, "SIGKILL");
    assert.equal((await task.exited).code, 137);
    await task.release();
    await until("the container has ended", () => !existsSync(`/proc/${task.pid}`));
    assert.doesNotMatch(execFileSync("mount").toString(), new RegExp(bench.execRoot));
  });
}
