/** The daemon as a process: start, reload, end, and what a killed one leaves. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, statSync, watch, writeFileSync } from "node:fs";
import { request as send } from "node:http";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { until } from "../../lib/eventually.testing.ts";
import { Bench, cannotRun as skip, PROGRAM } from "./testing/bench.ts";

test("starts, answers, ends in order, and leaves no socket and no pid file", { skip }, async () => {
  await using bench = new Bench();
  const pidfile = join(bench.folder, "pid");
  const { child } = await bench.start(["--pidfile", pidfile, "--label", "a=b"]);
  assert.equal(statSync(bench.socket).mode & 0o777, 0o660);
  assert.equal(readFileSync(pidfile, "utf8"), String(child.pid));
  assert.deepEqual(await bench.get("/_ping"), { status: 200, body: "OK" });
  assert.deepEqual(JSON.parse((await bench.get("/info")).body).Labels, ["a=b"]);
  assert.equal(await bench.end(child, "SIGTERM"), 0);
  assert.ok(!existsSync(bench.socket) && !existsSync(pidfile));
});

test("a second daemon on the same data root is refused and names the first", { skip }, async () => {
  await using bench = new Bench();
  const { child } = await bench.start();
  const second = await bench.start([], { until: "never" });
  assert.equal(second.child.exitCode, 1);
  assert.match(second.text(), new RegExp(`failed to start daemon: .*data is in use by another gantryd \\(process ${child.pid}\\)`));
  assert.equal((await bench.get("/_ping")).status, 200);
});

test("a bridge that is not there ends a start before anything listens", { skip }, async () => {
  await using bench = new Bench();
  const seen = new Set<string | null>();
  using watcher = Object.assign(watch(dirname(bench.socket), (_event, name) => void seen.add(name)), { [Symbol.dispose]: () => watcher.close() });
  const { child, text } = await bench.start(["--bridge=gty-nobody"], { until: "never" });
  assert.equal(child.exitCode, 1);
  assert.match(text(), /failed to start daemon: error creating default "bridge" network: bridge device with non default name gty-nobody must be created manually/);
  assert.doesNotMatch(text(), /unhandled/);
  writeFileSync(join(dirname(bench.socket), "last"), "");
  await until("events", () => seen.has("last"));
  assert.ok(!seen.has(basename(bench.socket)));
});

test("what a killed daemon left does not stop the next one", { skip }, async () => {
  await using bench = new Bench();
  const first = await bench.start();
  const { ID: id } = JSON.parse((await bench.get("/info")).body);
  await bench.end(first.child, "SIGKILL");
  assert.ok(existsSync(bench.socket));
  await bench.start();
  assert.equal(JSON.parse((await bench.get("/info")).body).ID, id);
});

test("SIGHUP applies the file anew and says so; a wrong file changes nothing", { skip }, async () => {
  await using bench = new Bench();
  const { child, text } = await bench.start();
  const since = Math.floor(Date.now() / 1000) - 1;
  const reload = async (file: string, answer: string): Promise<void> => {
    writeFileSync(join(bench.folder, "daemon.json"), file);
    child.kill("SIGHUP");
    await until(() => `${answer} in ${text()}`, () => text().includes(answer));
  };
  await reload('{"labels":["x=y"],"min-api-version":"1.44","debug":true,"max-concurrent-uploads":2,"features":{"buildkit":false}}', "Reloaded configuration");
  const info = JSON.parse((await bench.get("/info")).body);
  assert.deepEqual([info.Labels, info.Debug], [["x=y"], true]);
  assert.equal((await bench.get("/v1.43/info")).status, 400);
  const events = await bench.get(`/events?since=${since}&until=${Math.floor(Date.now() / 1000) + 1}&filters=${encodeURIComponent('{"type":["daemon"]}')}`);
  assert.match(events.body, /"Type":"daemon","Action":"reload".*"labels":"\[\\"x=y\\"\]"/);
  assert.match(events.body, /"features":"\{\\"buildkit\\":false\}".*"max-concurrent-uploads":"2"/);
  await reload('{"nosuch":1}', "the following directives don't match any configuration option: nosuch");
  assert.deepEqual(JSON.parse((await bench.get("/info")).body).Labels, ["x=y"]);
});

test("ends by itself when nobody needs it, and not before", { skip }, async () => {
  await using bench = new Bench();
  const { child } = await bench.start(["--idle-exit=5"]);
  let last = 0;
  for (const end = performance.now() + 6000; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    last = performance.now();
    assert.equal((await bench.get("/_ping")).status, 200);
  }
  await once(child, "exit");
  assert.ok(performance.now() - last > 4500);
  assert.equal(child.exitCode, 0);
});

test("tells systemd when it is ready", { skip: skip || (existsSync("/usr/bin/perl") ? false : "needs perl to receive a datagram") }, async () => {
  await using bench = new Bench();
  const socket = join(bench.folder, "notify");
  const receiver = spawn("/usr/bin/perl", ["-MSocket", "-e", "$| = 1; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])) or die; print qq(bound\\n); while (defined recv(S, $m, 4096, 0)) { print qq($m\\n) }", socket], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  receiver.stdout.on("data", (chunk: Buffer) => (told += chunk.toString()));
  await once(receiver.stdout, "data");
  const { child } = await bench.start([], { env: { NOTIFY_SOCKET: socket } });
  await bench.end(child, "SIGTERM");
  // What was sent may not have been read yet.
  while (!told.includes("STOPPING=1\n")) await once(receiver.stdout, "data");
  receiver.kill();
  assert.match(told, /bound\nREADY=1\n[^]*STOPPING=1\n/);
});

test("takes the place of no file and no living server", { skip }, async () => {
  await using bench = new Bench();
  writeFileSync(bench.socket, "precious");
  const { child, text } = await bench.start([], { until: "never" });
  assert.equal(child.exitCode, 1);
  assert.match(text(), /a file that is no socket is in its place/);
  assert.equal(readFileSync(bench.socket, "utf8"), "precious");
});

test("TCP without TLS is served on the loopback only, unless that is said to be meant", { skip }, async () => {
  await using bench = new Bench();
  const { child, text } = await bench.start(["-H", "tcp://0.0.0.0:0"], { until: "never" });
  assert.equal(child.exitCode, 1);
  assert.match(text(), /would give root's rights to everyone who can reach it/);
  const meant = await bench.start(["-H", "tcp://0.0.0.0:0", "--tls=false"], { until: "API listen on 0.0.0.0:" });
  assert.equal(meant.child.exitCode, null);
  await bench.end(meant.child, "SIGTERM");
  await bench.start(["-H", "tcp://127.0.0.1:0"], { until: "API listen on 127.0.0.1:" });
});

test("a socket that systemd opened is served", { skip: skip || (existsSync("/usr/bin/perl") ? false : "needs perl to pass a socket") }, async () => {
  await using bench = new Bench();
  mkdirSync(join(bench.folder, "activated"));
  const path = join(bench.folder, "activated/s.sock");
  const script = "use Socket; use POSIX qw(dup2); $^F = 9; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(shift)); listen(S, 5); dup2(fileno(S), 3); $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_PID} = $$; exec @ARGV";
  const args = ["--data-root", join(bench.folder, "data"), "--exec-root", join(bench.folder, "exec"), "--bridge=none", "--config-file=", "-H", "fd://"];
  const child = spawn("/usr/bin/perl", ["-e", script, path, process.execPath, PROGRAM, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let printed = "";
  child.stderr.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  await until(() => `a start in ${printed}`, () => printed.includes("API listen on fd://3"));
  const answer = await new Promise<number | undefined>((resolve, reject) => send({ socketPath: path, path: "/_ping" }, (response) => (response.resume(), resolve(response.statusCode))).on("error", reject).end());
  assert.equal(answer, 200, printed);
  child.kill("SIGTERM");
  await once(child, "exit");
});

test("--validate and --version end at once", { skip }, async () => {
  await using bench = new Bench();
  const valid = await bench.start(["--validate"], { until: "never" });
  assert.equal(valid.child.exitCode, 0);
  assert.match(valid.text(), /configuration OK/);
  const wrong = await bench.start(["--validate", "--userns-remap=one:two:three"], { until: "never" });
  assert.equal(wrong.child.exitCode, 1);
  assert.match(wrong.text(), /Invalid user\/group specification in --userns-remap: "one:two:three"/);
  assert.match((await bench.start(["--version"], { until: "never" })).text(), /^Gantry version \d/);
});

test("metrics for Prometheus: Docker's names, at an address of their own", { skip }, async () => {
  await using bench = new Bench();
  const { text, child } = await bench.start(["--metrics-addr", "127.0.0.1:0"]);
  const url = /Metrics at (http:\S+\/metrics)/.exec(text())?.[1] ?? "";
  const page = async (): Promise<string> => (await fetch(url)).text();
  assert.match(await page(), /^engine_daemon_container_states_containers\{state="running"\} 0$/m);
  assert.match(await page(), /^engine_daemon_engine_info\{.*graphdriver="\w+".*\} 1$/m);
  assert.ok(!(await page()).includes('action="create"'));
  await bench.get("/containers/create", "POST");
  assert.match(await page(), /^engine_daemon_container_actions_seconds_count\{action="create"\} 1$/m, "failed ones are counted, too");
  assert.equal((await fetch(url.replace("/metrics", "/"))).status, 404);
  assert.equal((await fetch(url, { method: "POST" })).status, 405);
  assert.equal(await bench.end(child, "SIGTERM"), 0);
  const second = await bench.start(["--metrics-addr", "nowhere"], { until: "never" });
  assert.match(second.text(), /invalid metrics address "nowhere"/);
});
