/** Containers of other OCI runtimes: real runc where it is installed, beside the engine's own. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { demultiplex, type Json } from "../harness/api.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

const runc = ["/usr/sbin/runc", "/usr/bin/runc"].find(existsSync);
const configuration = { runtimes: { real: { path: runc, runtimeArgs: ["--debug"] }, absent: { path: "/nonexistent/runtime" } } };
const file = join(mkdtempSync(join(tmpdir(), "gantry-runtimes-")), "daemon.json");

describe("runc under gantryd", { skip: runc === undefined && "needs runc" }, () => {
  let engine: Engine;
  let cli: Cli;
  before(async () => {
    writeFileSync(file, JSON.stringify(configuration));
    engine = await startedEngine({ flags: ["--config-file", file] });
    cli = new Cli(join(project, "bin/gantry"), engine);
  });
  after(async () => {
    await endEngine(engine);
    rmSync(dirname(file), { recursive: true });
  });
  const reload = async (content: object): Promise<void> => {
    const said = engine.log().length;
    writeFileSync(file, JSON.stringify(content));
    engine.machine.run("kill", "-HUP", String(engine.pid()));
    await until("the reload", async () => /Reloaded configuration|Error reconfiguring/.test(engine.log().slice(said)));
  };
  const inspect = (name: string): Promise<Json> => engine.api.json("GET", `/containers/${name}/json`);
  const logOf = async (name: string): Promise<string> => demultiplex((await engine.api.send("GET", `/containers/${name}/logs?stdout=1&stderr=1`)).body).stdout;

  test("run: output, exit codes, users, input, a terminal", async () => {
    assert.deepEqual(await cli.run(["run", "--rm", "--runtime", "real", "-u", "7:8", "-e", "A=b", "busybox", "sh", "-c", "id -u; id -g; echo $A >&2; exit 3"]), { code: 3, stdout: "7\n8\n", stderr: "b\n" });
    assert.equal((await cli.run(["run", "--rm", "-i", "--runtime", "real", "busybox", "cat"], "through\n")).stdout, "through\n");
    const terminal = await cli.typed(["run", "--rm", "-it", "--runtime", "real", "busybox", "sh"], [["# ", "tty; stty size\n"], [/24 80/, "exit 5\n"]]);
    assert.equal(terminal.code, 5);
    assert.match(terminal.stdout, /\/dev\/pts\/0/);
    assert.equal((await cli.run(["run", "--rm", "--runtime", "real", "busybox", "nosuch"])).code, 127);
    assert.equal((await cli.run(["run", "--rm", "--runtime", "real", "busybox", "/etc"])).code, 126);
    assert.equal(await cli.ok("__complete", "run", "--runtime", "re"), "real\truntime");
    const unknown = await cli.run(["run", "--runtime", "none", "busybox"]);
    assert.match(unknown.stderr, /unknown or invalid runtime name: none/);
  });

  test("a container of many settings is told the same by both", async () => {
    const settings = ["-u", "1:2", "--group-add", "9", "--cap-drop", "ALL", "--cap-add", "chown", "--ulimit", "nofile=100:200", "--oom-score-adj", "77", "--sysctl", "net.core.somaxconn=77", "--device", "/dev/null:/dev/mine:r"];
    const more = ["--tmpfs", "/t:size=1m", "-v", "/etc/hostname:/x:ro", "--read-only", "--add-host", "a:192.0.2.1", "--hostname", "box", "-w", "/t", "-m", "64m", "--pids-limit", "33", "--shm-size", "32m", "--security-opt", "no-new-privileges"];
    const script = `id; pwd; hostname; grep -E 'Cap|NoNew|Seccomp:|Umask' /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj /proc/sys/net/core/somaxconn; ls -l /dev/mine | cut -c1-10
      grep 192.0.2.1 /etc/hosts; df -h /dev/shm /t | tail -n 2; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; ls /dev; touch /y /x; env | grep -v HOSTNAME`;
    const [own, real] = await Promise.all(["gantry-runtime", "real"].map((runtime) => cli.run(["run", "--rm", "--runtime", runtime, ...settings, ...more, "busybox", "sh", "-c", script])));
    assert.match(own?.stdout ?? "", /^uid=1 gid=2 groups=2,9\n\/t\nbox\n/);
    assert.deepEqual(real, own);
    const privileged = await Promise.all(["gantry-runtime", "real"].map((runtime) => cli.ok("run", "--rm", "--privileged", "--network", "host", "--runtime", runtime, "busybox", "sh", "-c", "grep Cap /proc/self/status; ls /dev | grep -v '^loop'; readlink /proc/self/ns/net")));
    assert.equal(privileged[1], privileged[0]);
  });

  test("names and networks are as with the engine's own", async () => {
    await cli.ok("network", "create", "shared");
    await cli.ok("run", "-d", "--name", "web", "--network", "shared", "--runtime", "real", "busybox", "sh", "-c", "echo hello > /index.html; exec httpd -f -p 80");
    await until("an answer", async () => (await cli.run(["run", "--rm", "--network", "shared", "busybox", "wget", "-qO-", "http://web/"])).stdout === "hello\n");
    await cli.ok("rm", "-f", "web");
    await cli.ok("network", "rm", "shared");
  });

  test("exec, top, stats, limits, pause, stop, restart policies", async () => {
    await cli.ok("run", "-d", "--name", "long", "--runtime", "real", "--init", "-m", "64m", "busybox", "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done");
    assert.equal((await inspect("long")).HostConfig.Runtime, "real");
    assert.deepEqual(await cli.run(["exec", "-u", "1", "long", "sh", "-c", "id -u; exit 4"]), { code: 4, stdout: "1\n", stderr: "" });
    assert.match((await cli.typed(["exec", "-it", "long", "sh"], [[/[#$] /, "tty\n"], ["/dev/pts", "exit\n"]])).stdout, /\/dev\/pts\/\d/);
    const missing = await cli.run(["exec", "long", "nosuch"]);
    assert.equal(missing.code, 127);
    assert.match(missing.stdout + missing.stderr, /executable file not found in \$PATH/);
    assert.match(await cli.ok("top", "long"), /trap 'exit 9' TERM/);
    await cli.ok("update", "-m", "32m", "--memory-swap", "32m", "long");
    assert.match(await cli.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "long"), /32MiB/);
    await cli.ok("pause", "long");
    assert.equal((await inspect("long")).State.Status, "paused");
    await cli.ok("unpause", "long");
    await cli.ok("stop", "long");
    assert.equal((await inspect("long")).State.ExitCode, 9);
    await cli.ok("start", "long");
    await cli.ok("kill", "long");
    assert.equal(await cli.ok("wait", "long"), "137");
    await cli.ok("rm", "long");
    await cli.ok("run", "-d", "--name", "again", "--restart", "on-failure:2", "--runtime", "real", "busybox", "sh", "-c", "echo one; exit 1");
    await until("two restarts", async () => (await inspect("again")).RestartCount === 2 && (await inspect("again")).State.Status === "exited");
    assert.equal(await logOf("again"), "one\none\none\n");
  });

  test("gantryd is killed: the container runs on, output and exit are known, streams attach again", async () => {
    await cli.ok("run", "-d", "--name", "ticker", "--runtime", "real", "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done");
    await cli.ok("run", "-d", "--name", "short", "--runtime", "real", "busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done; echo done; exit 9");
    await cli.ok("run", "-d", "-i", "--name", "echo", "--runtime", "real", "busybox", "cat");
    const [Pid, short] = [(await inspect("ticker")).State.Pid, (await inspect("short")).State.Pid];
    await engine.kill();
    engine.machine.run("touch", `/proc/${short}/root/go`);
    await until("its end", () => !engine.machine.has(`/proc/${short}`));
    await engine.start();
    assert.deepEqual([(await inspect("ticker")).State.Pid, (await inspect("ticker")).State.Running], [Pid, true]);
    const ticks = (await logOf("ticker")).trim().split("\n").map(Number);
    assert.deepEqual(ticks, ticks.map((_, index) => index + 1), "no line is lost");
    await until("its end", async () => (await inspect("short")).State.Status === "exited");
    assert.deepEqual([(await inspect("short")).State.ExitCode, await logOf("short")], [9, "done\n"]);
    const attached = cli.start("attach", "--no-stdin=false", "echo");
    attached.stdin.write("again\n");
    await until("the echo", async () => (await logOf("echo")) === "again\n");
    attached.kill();
    assert.equal(await cli.ok("exec", "ticker", "echo", "still"), "still");
    await cli.ok("pause", "ticker");
    await cli.ok("rm", "-f", "ticker", "short", "echo");
  });

  test("a runtime that is not there, and one that is taken out of the configuration while its container runs", async () => {
    const absent = await cli.run(["run", "--name", "never", "--runtime", "absent", "busybox", "true"]);
    assert.equal(absent.code, 127);
    assert.match(absent.stderr, /OCI runtime create failed: .*\/nonexistent\/runtime/);
    assert.equal((await inspect("never")).State.Status, "created");
    await cli.ok("rm", "never");
    await cli.ok("run", "-d", "--name", "orphan", "--runtime", "real", "busybox", "sleep", "1000");
    await reload({ runtimes: { plain: { path: "/x", runtimeArgs: ["-d"] } }, "default-runtime": "plain" });
    const { Runtimes, DefaultRuntime } = await engine.api.json("GET", "/info");
    assert.deepEqual([Runtimes, DefaultRuntime], [{ "gantry-runtime": { path: "gantry-runtime" }, plain: { path: "/x", runtimeArgs: ["-d"] } }, "plain"]);
    await reload({ "default-runtime": "nosuch" });
    assert.equal((await engine.api.json("GET", "/info")).DefaultRuntime, "plain", "a wrong file changes nothing");
    await engine.api.json("POST", "/containers/create?name=default", { json: { Image: "busybox" } });
    assert.equal((await inspect("default")).HostConfig.Runtime, "plain");
    await cli.ok("exec", "orphan", "true");
    await cli.ok("stop", "-t", "0", "orphan");
    assert.match((await cli.run(["start", "orphan"])).stderr, /unknown or invalid runtime name: real/);
    assert.equal((await inspect("orphan")).State.Status, "exited");
    await cli.ok("rm", "orphan", "default");
    await reload(configuration);
  });

  test("gantryd is killed in the middle of a start: what a user finds can be explained, and works", async () => {
    for (const [point, statuses] of [["start-networked", ["created", "exited"]], ["start-created", ["running"]], ["start-saved", ["running"]], ["exec-started", ["running"]]] as const) {
      await engine.stop();
      await engine.start({ env: { GANTRY_FAULT: point } });
      await cli.run(["run", "-d", "--name", "victim", "--runtime", "real", "busybox", "sleep", "1000"]);
      if (point === "exec-started") await cli.run(["exec", "victim", "sleep", "1000"]);
      await engine.ended();
      await engine.start();
      assert.ok((statuses as readonly string[]).includes((await inspect("victim")).State.Status), `${point}: ${(await inspect("victim")).State.Status}`);
      await cli.run(["start", "victim"]);
      await cli.ok("exec", "victim", "true");
      await cli.ok("rm", "-f", "victim");
    }
  });

  test("a shim is killed: its container is over, and nothing of it is left", async () => {
    await cli.ok("run", "-d", "--name", "bare", "--runtime", "real", "busybox", "sleep", "1000");
    const { Pid } = (await inspect("bare")).State;
    const shim = /^PPid:\s+(\d+)/m.exec(engine.machine.run("cat", `/proc/${Pid}/status`))?.[1] ?? "";
    engine.machine.run("kill", "-9", shim);
    assert.equal(await cli.ok("wait", "bare"), "137");
    await cli.ok("start", "bare");
    await cli.ok("rm", "-f", "bare");
  });
});
