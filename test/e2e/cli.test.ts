/** The command lines of a user's day, by our client and by the stock one, against one daemon. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually, until } from "../../src/lib/eventually.testing.ts";
import { Cli, clients, collect } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));

for (const { name, program } of clients()) {
  describe(`client ${name}`, { skip: program === undefined ? `no ${name} on PATH` : false }, () => {
    let cli: Cli;
    before(() => {
      cli = new Cli(program!, engine);
    });

    test("version and info", async () => {
      assert.match(await cli.ok("version", "--format", "{{.Server.APIVersion}}"), /^1\.\d\d$/);
      assert.equal(await cli.ok("info", "--format", "{{.Driver}} {{.DockerRootDir}}"), `overlay2 ${engine.dataRoot}`);
    });

    test("import, tag, list, history, remove", async () => {
      const { stdout, code, stderr } = await cli.run(["import", "--change", 'CMD ["sh"]', "--message", "made by a test", "-", "made:one"], busyboxImage());
      assert.equal(code, 0, stderr);
      assert.match(stdout.trim(), /^sha256:[0-9a-f]{64}$/);
      await cli.ok("tag", "made:one", "made:two");
      assert.deepEqual((await cli.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "made")).split("\n").sort(), ["made:one", "made:two"]);
      assert.equal(await cli.ok("image", "inspect", "--format", "{{json .Config.Cmd}} {{len .RootFS.Layers}}", "made:two"), '["sh"] 1');
      assert.match(await cli.ok("history", "--no-trunc", "--format", "{{.Comment}}", "made:one"), /made by a test/);
      assert.match(await cli.ok("rmi", "made:one"), /^Untagged: made:one$/m);
      assert.equal(await cli.ok("run", "--rm", "made:two", "echo", "still here"), "still here");
      await cli.ok("rmi", "made:two");
      assert.equal(await cli.ok("images", "-q", "made"), "");
    });

    test("save, remove, load, run", async () => {
      const archive = join(engine.machine.folder, `${name}.tar`);
      await cli.ok("tag", "busybox", "saved:1");
      await cli.ok("save", "-o", archive, "saved:1");
      await cli.ok("rmi", "saved:1");
      assert.match(await cli.ok("load", "-i", archive), /Loaded image: saved:1/);
      assert.equal(await cli.ok("run", "--rm", "saved:1", "echo", "loaded"), "loaded");
      await cli.ok("rmi", "saved:1");
    });

    test("run: streams, statuses, stdin", async () => {
      const both = await cli.run(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]);
      assert.deepEqual(both, { code: 7, stdout: "out\n", stderr: "err\n" });
      assert.equal((await cli.run(["run", "--rm", "busybox", "/nothing"])).code, 127);
      assert.equal((await cli.run(["run", "--rm", "busybox", "/etc/passwd"])).code, 126);
      assert.equal((await cli.run(["run", "--no-such-flag", "busybox"])).code, 125);
      assert.deepEqual(await cli.run(["run", "--rm", "-i", "busybox", "cat"], "from stdin\n"), { code: 0, stdout: "from stdin\n", stderr: "" });
    });

    test("run: a megabyte through, unharmed", async () => {
      const data = Buffer.alloc(1 << 20, "0123456789abcdef\n");
      const { stdout } = await cli.run(["run", "--rm", "-i", "busybox", "cat"], data);
      assert.equal(stdout, data.toString());
    });

    test("run -it on a terminal", async () => {
      const { code, stdout } = await cli.typed(["run", "--rm", "-it", "busybox", "sh"], [["# ", "tty; stty size\n"], ["24 80", "exit 3\n"]]);
      assert.match(stdout, /\/dev\/pts\/0/);
      assert.equal(code, 3);
    });

    test("-d, ps, logs, wait, rm", async () => {
      const id = await cli.ok("run", "-d", "--name", `${name}-d`, "--label", "a=b", "busybox", "sh", "-c", "for i in 1 2 3; do echo line $i; done; until [ -e /go ]; do sleep 0.1; done; exit 4");
      assert.match(id, /^[0-9a-f]{64}$/);
      assert.equal(await cli.ok("ps", "--no-trunc", "-q", "--filter", "label=a=b"), id);
      const followed = cli.ok("logs", "-f", `${name}-d`);
      await cli.ok("exec", `${name}-d`, "touch", "/go");
      assert.equal(await followed, "line 1\nline 2\nline 3");
      assert.equal(await cli.ok("wait", `${name}-d`), "4");
      assert.equal(await cli.ok("logs", "--tail", "1", `${name}-d`), "line 3");
      assert.equal(await cli.ok("ps", "-q", "--filter", "label=a=b"), "");
      assert.match(await cli.ok("ps", "-a", "--filter", `name=${name}-d`, "--format", "{{.Status}}"), /^Exited \(4\)/);
      assert.equal(await cli.ok("rm", `${name}-d`), `${name}-d`);
      assert.equal((await cli.run(["inspect", `${name}-d`])).code, 1);
    });

    test("--rm leaves nothing", async () => {
      await cli.ok("run", "--rm", "--name", `${name}-rm`, "busybox", "true");
      await eventually(async () => assert.equal(await cli.ok("ps", "-aq", "--filter", `name=${name}-rm`), ""));
    });

    test("create, start -a, rename, restart, stop, kill", async () => {
      await cli.ok("create", "--name", `${name}-c`, "busybox", "echo", "started");
      assert.equal(await cli.ok("start", "-a", `${name}-c`), "started");
      await cli.ok("rename", `${name}-c`, `${name}-r`);
      assert.equal(await cli.ok("inspect", "--format", "{{.Name}} {{.State.ExitCode}}", `${name}-r`), `/${name}-r 0`);
      await cli.ok("rm", `${name}-r`);

      await cli.ok("run", "-d", "--name", `${name}-s`, "busybox", "sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done");
      await untilLogged(cli, `${name}-s`, "up");
      await cli.ok("stop", `${name}-s`);
      assert.equal(await cli.ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", `${name}-s`), "exited 5");
      await cli.ok("restart", `${name}-s`);
      assert.equal(await cli.ok("inspect", "--format", "{{.State.Status}}", `${name}-s`), "running");
      await cli.ok("kill", "-s", "KILL", `${name}-s`);
      assert.equal(await cli.ok("wait", `${name}-s`), "137");
      assert.match(await cli.ok("logs", `${name}-s`), /up\nbye\nup/);
      await cli.ok("rm", `${name}-s`);
    });

    test("stop kills what ignores SIGTERM", async () => {
      await cli.ok("run", "-d", "--name", `${name}-i`, "--stop-timeout", "1000", "busybox", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done");
      await untilLogged(cli, `${name}-i`, "up");
      await cli.ok("stop", "-t", "1", `${name}-i`);
      assert.equal(await cli.ok("inspect", "--format", "{{.State.ExitCode}}", `${name}-i`), "137");
      await cli.ok("rm", `${name}-i`);
    });

    test("exec: streams, status, user, folder, environment, terminal", async () => {
      await cli.ok("run", "-d", "--name", `${name}-e`, "-e", "FROM=run", "busybox", "sleep", "1000");
      assert.deepEqual(await cli.run(["exec", `${name}-e`, "sh", "-c", "echo out; echo err >&2; exit 9"]), { code: 9, stdout: "out\n", stderr: "err\n" });
      assert.equal(await cli.ok("exec", "-u", "user", "-w", "/tmp", "-e", "MORE=exec", `${name}-e`, "sh", "-c", "echo $(id -u) $PWD $FROM $MORE"), "1000 /tmp run exec");
      assert.deepEqual(await cli.run(["exec", "-i", `${name}-e`, "cat"], "piped"), { code: 0, stdout: "piped", stderr: "" });
      assert.deepEqual(await cli.run(["exec", "-i", `${name}-e`, "sh", "-c", "cat && echo end"], ""), { code: 0, stdout: "end\n", stderr: "" });
      assert.equal((await cli.run(["exec", `${name}-e`, "/nothing"])).code, 127);
      const terminal = await cli.typed(["exec", "-it", `${name}-e`, "sh"], [["# ", "tty\n"], ["/dev/pts/", "exit 2\n"]]);
      assert.equal(terminal.code, 2);
      assert.match(await cli.ok("top", `${name}-e`), /sleep 1000/);
      await cli.ok("rm", "-f", `${name}-e`);
    });

    test("attach, and detach by keys", async () => {
      await cli.ok("run", "-dit", "--name", `${name}-a`, "busybox", "sh");
      const { stdout } = await cli.typed(["attach", `${name}-a`], [[/^|# /, "echo a$((1+1))b\n"], ["a2b", "\x10\x11"]]);
      assert.match(stdout, /a2b/);
      assert.equal(await cli.ok("inspect", "--format", "{{.State.Running}}", `${name}-a`), "true");
      await cli.ok("rm", "-f", `${name}-a`);

      await cli.ok("create", "-i", "--name", `${name}-b`, "busybox", "cat");
      await cli.ok("start", `${name}-b`);
      const attached = cli.start("attach", `${name}-b`);
      const done = collect(attached);
      attached.stdin.end("over to you\n");
      assert.deepEqual(await done, { code: 0, stdout: "over to you\n", stderr: "" });
      await cli.ok("rm", "-f", `${name}-b`);
    });

    test("events tell the story", async () => {
      const since = Date.now() / 1000;
      await cli.ok("run", "--name", `${name}-ev`, "busybox", "true");
      await cli.ok("rm", `${name}-ev`);
      const lines = await cli.ok("events", "--since", String(since), "--until", String(Date.now() / 1000 + 0.1), "--filter", `container=${name}-ev`, "--filter", "type=container", "--format", "{{.Action}}");
      assert.deepEqual(lines.split("\n"), ["create", "attach", "start", "die", "destroy"]);
    });

    test("what a container sees: user, folder, names, mounts, limits", async () => {
      const run = (...args: string[]): Promise<string> => cli.ok("run", "--rm", ...args);
      assert.equal(await run("-u", "1000:10", "-w", "/new/folder", "busybox", "sh", "-c", "id -u; id -g; pwd"), "1000\n10\n/new/folder");
      assert.equal(await run("-h", "box", "--add-host", "other:10.9.8.7", "busybox", "sh", "-c", "hostname; grep -c '^10[.]9[.]8[.]7' /etc/hosts"), "box\n1");
      assert.equal(await run("--read-only", "--tmpfs", "/scratch:size=1m", "busybox", "sh", "-c", "touch /x 2>/dev/null || echo ro; touch /scratch/x && echo rw"), "ro\nrw");
      const shared = join(engine.machine.folder, `shared-${name}`);
      mkdirSync(shared);
      writeFileSync(join(shared, "in"), "from the host");
      assert.equal(await run("-v", `${shared}:/data`, "busybox", "sh", "-c", "cat /data/in; echo out > /data/out"), "from the host");
      assert.equal(readFileSync(join(shared, "out"), "utf8"), "out\n");
      assert.equal((await cli.run(["run", "--rm", "-v", `${shared}:/data:ro`, "busybox", "touch", "/data/x"])).code, 1);
      assert.equal(await run("--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn"), "100\n200");
      assert.equal(await run("--sysctl", "net.ipv4.ip_default_ttl=99", "busybox", "cat", "/proc/sys/net/ipv4/ip_default_ttl"), "99");
      assert.equal(await run("--init", "busybox", "sh", "-c", "[ $$ != 1 ] && echo init"), "init");
      assert.equal(await run("--entrypoint", "echo", "busybox", "entry"), "entry");
    });

    test("limits are in the control groups", async () => {
      const read = (controller: string, file: string): string[] => ["sh", "-c", `cat /sys/fs/cgroup/${controller}/${file} 2>/dev/null || cat /sys/fs/cgroup/${file.replace("memory.limit_in_bytes", "memory.max")}`];
      assert.equal(await cli.ok("run", "--rm", "-m", "32m", "busybox", ...read("memory", "memory.limit_in_bytes")), String(32 << 20));
      for (const [flags, limit] of [[["--pids-limit", "17"], "17"], [[], "16384"], [["--pids-limit", "-1"], "max"]] as const) assert.equal(await cli.ok("run", "--rm", ...flags, "busybox", ...read("pids", "pids.max")), limit);
      const eater = await cli.run(["run", "--name", `${name}-oom`, "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "tail /dev/zero"]);
      assert.notEqual(eater.code, 0);
      assert.equal(await cli.ok("inspect", "--format", "{{.State.OOMKilled}}", `${name}-oom`), "true");
      await cli.ok("rm", `${name}-oom`);
    });

    test("privilege: capabilities, no-new-privileges, privileged", async () => {
      const caps = (...args: string[]): Promise<string> => cli.ok("run", "--rm", ...args, "busybox", "sh", "-c", "grep CapEff /proc/self/status | cut -f2");
      assert.equal(await caps(), "00000000a80425fb");
      assert.equal(await caps("--cap-drop", "ALL"), "0000000000000000");
      assert.equal(await caps("--cap-drop", "ALL", "--cap-add", "NET_ADMIN"), "0000000000001000");
      assert.equal(await cli.ok("run", "--rm", "--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"), "NoNewPrivs:\t1");
      assert.equal(await cli.ok("run", "--rm", "busybox", "grep", "Seccomp:", "/proc/self/status"), "Seccomp:\t2");
      assert.equal(await cli.ok("run", "--rm", "--privileged", "busybox", "grep", "Seccomp:", "/proc/self/status"), "Seccomp:\t0");
    });

    test("networks: bridge reaches out, none does not, host and container share", async () => {
      assert.equal(await cli.ok("run", "--rm", "busybox", "sh", "-c", "ping -c 1 -w 60 10.231.0.1 >/dev/null && echo reached"), "reached");
      assert.equal(await cli.ok("run", "--rm", "--network", "none", "busybox", "sh", "-c", "ls /sys/class/net"), "lo");
      assert.match(await cli.ok("run", "--rm", "--network", "host", "busybox", "ip", "-o", "addr"), /10\.231\.0\.2\/24/);
      await cli.ok("run", "-d", "--name", `${name}-n`, "busybox", "sleep", "1000");
      const address = await cli.ok("inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", `${name}-n`);
      assert.match(address, /^\d+\.\d+\.\d+\.\d+$/);
      assert.match(await cli.ok("run", "--rm", "--network", `container:${name}-n`, "busybox", "ip", "-o", "addr"), new RegExp(` ${address.replaceAll(".", "\\.")}/`));
      assert.equal(await cli.ok("run", "--rm", "busybox", "sh", "-c", `ping -c 1 -w 60 ${address} >/dev/null && echo neighbour`), "neighbour");
      await cli.ok("rm", "-f", `${name}-n`);
    });

    test("restart policy", async () => {
      await cli.ok("run", "-d", "--name", `${name}-p`, "--restart", "on-failure:2", "busybox", "sh", "-c", "echo try; exit 1");
      await eventually(async () => assert.equal(await cli.ok("inspect", "--format", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", `${name}-p`), "exited 2 1"));
      assert.equal(await cli.ok("logs", `${name}-p`), "try\ntry\ntry");
      await cli.ok("rm", `${name}-p`);
    });
  });
}

test("a container gets the API's socket and the client's credentials", async () => {
  const cli = new Cli(clients()[0]!.program!, engine);
  assert.match(await cli.ok("run", "--rm", "--use-api-socket", "busybox", "sh", "-c", "test -S /var/run/docker.sock && stat -c %a $DOCKER_CONFIG/config.json && cat $DOCKER_CONFIG/config.json"), /^600\n\{"auths":\{.*\}\}$/);
  assert.match(await cli.ok("run", "--rm", "--use-api-socket", "-e", "DOCKER_CONFIG=/own", "busybox", "sh", "-c", "echo $DOCKER_CONFIG; ls /run/secrets || echo none"), /^\/own\n.*none$/s);
});

const untilLogged = (cli: Cli, container: string, text: string): Promise<void> => until(`${text} in the log of ${container}`, async () => (await cli.ok("logs", container)).includes(text));
