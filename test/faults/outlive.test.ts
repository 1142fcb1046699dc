/** Containers and clients while gantryd, the launcher, a shim or a client is killed. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../src/lib/eventually.testing.ts";
import { demultiplex, type Json } from "../harness/api.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

async function started(name: string, script: string, more: object = {}): Promise<void> {
  await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sh", "-c", script], ...more });
  await api("POST", `/containers/${name}/start`);
}

async function logOf(name: string): Promise<string> {
  return demultiplex((await engine.api.send("GET", `/containers/${name}/logs?stdout=1&stderr=1`)).body).stdout;
}

/** Host processes of the machine whose command line matches. */
function processes(pattern: RegExp): string[] {
  const lines = engine.machine.run("ps", "-eo", "pid=,args=").split("\n").map((line) => line.trim());
  return lines.filter((line) => pattern.test(line.replace(/^\d+ /, ""))).map((line) => line.split(" ")[0] ?? "");
}

test("gantryd is killed: containers run on, output is recorded, ends are known, streams attach again", async () => {
  await started("ticker", "i=0; while :; do i=$((i+1)); echo tick $i; echo $i > /ticks; sleep 0.1; done");
  await started("short", "until [ -e /go ]; do sleep 0.1; done; echo done; exit 9");
  await started("echo", "cat", { OpenStdin: true });
  await until("a tick", async () => (await logOf("ticker")).includes("tick 1"));
  const [{ Pid }, { Pid: ending }] = [(await api("GET", "/containers/ticker/json")).State, (await api("GET", "/containers/short/json")).State];
  await engine.kill();
  const ticked = (): number => Number(engine.machine.run("cat", `/proc/${Pid}/root/ticks`));
  const [atKill, told] = [ticked(), Date.now()];
  engine.machine.run("touch", `/proc/${ending}/root/go`);
  await until("an end, and ten more ticks", () => !engine.machine.has(`/proc/${ending}`) && ticked() > atKill + 10);
  await delay(500);
  const restarted = Date.now();
  await engine.start();

  const { State } = await api("GET", "/containers/ticker/json");
  assert.deepEqual({ Running: State.Running, Pid: State.Pid }, { Running: true, Pid });
  const ticks = (await logOf("ticker")).trim().split("\n").map((line) => Number(line.split(" ")[1]));
  assert.deepEqual(ticks, ticks.map((_, index) => index + 1), "no line is lost");
  assert.ok(ticks.length > atKill + 10, `${ticks.length} lines, also from while the daemon was away`);

  const short = (await api("GET", "/containers/short/json")).State;
  assert.deepEqual({ Status: short.Status, ExitCode: short.ExitCode }, { Status: "exited", ExitCode: 9 });
  const finished = Date.parse(short.FinishedAt);
  assert.ok(finished >= told && finished < restarted, `${short.FinishedAt} is the time of its own end`);
  assert.equal(await logOf("short"), "done\n");

  const asked = { since: 0, until: Date.now() / 1000 + 0.1, audit: 1, filters: JSON.stringify({ container: ["short"], type: ["container"] }) };
  const uid = String(process.getuid?.());
  const events = (await engine.api.send("GET", "/events", { query: asked })).body.toString().trim().split("\n").map((line): Json => JSON.parse(line));
  assert.deepEqual(events.map(({ Action }) => Action), ["create", "start", "die"], "events of before and after the kill");
  assert.deepEqual(events.map(({ Actor }) => Actor.Attributes["peer.uid"]), [uid, uid, undefined], "who asked for them, also of before");

  const stream = await engine.api.hijack("/containers/echo/attach?stream=1&stdin=1&stdout=1");
  stream.write("again\n");
  stream.resume();
  const [first] = (await Promise.race([new Promise<Buffer[]>((resolve) => stream.once("data", (data: Buffer) => resolve([data]))), delay(60_000, [], { ref: false })])) as Buffer[];
  assert.equal(demultiplex(first ?? Buffer.alloc(0)).stdout, "again\n");
  stream.destroy();

  const { Id } = await api("POST", "/containers/ticker/exec", { Cmd: ["true"], AttachStdout: true });
  (await engine.api.hijack(`/exec/${Id}/start`, { Detach: false })).resume();
  await until("the exec's end", async () => (await api("GET", `/exec/${Id}/json`)).ExitCode === 0);
  for (const name of ["ticker", "short", "echo"]) await api("DELETE", `/containers/${name}?force=1`);
});

test("after a graceful stop and a new start, what should always run does", async () => {
  await started("stays", "sleep 1000", { HostConfig: { RestartPolicy: { Name: "always" } } });
  await engine.stop();
  await engine.start();
  await until("it runs", async () => (await api("GET", "/containers/stays/json")).State.Running === true);
  await api("DELETE", "/containers/stays?force=1");
});

test("without live restore, a graceful stop stops containers, and the next start starts what policies want", async () => {
  const script = "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done";
  await engine.stop();
  await engine.start({ flags: ["--live-restore=false"] });
  await started("always", script, { HostConfig: { RestartPolicy: { Name: "always" } } });
  await started("plain", script);
  await started("gone", script, { HostConfig: { AutoRemove: true } });
  await engine.stop();
  await engine.start();
  const { State } = await api("GET", "/containers/plain/json");
  assert.deepEqual({ Status: State.Status, ExitCode: State.ExitCode }, { Status: "exited", ExitCode: 3 });
  assert.equal(await logOf("plain"), "bye\n");
  assert.equal((await engine.api.send("GET", "/containers/gone/json")).status, 404);
  await until("it runs", async () => (await api("GET", "/containers/always/json")).State.Running === true);
  await api("POST", "/containers/plain/start");
  await engine.kill();
  await engine.start({ flags: ["--live-restore=false"] });
  const killed = (await api("GET", "/containers/plain/json")).State;
  assert.deepEqual({ Status: killed.Status, ExitCode: killed.ExitCode }, { Status: "exited", ExitCode: 137 });
  await until("it runs again", async () => (await api("GET", "/containers/always/json")).State.Running === true);
  await engine.stop();
  await engine.start();
  for (const name of ["always", "plain"]) await api("DELETE", `/containers/${name}?force=1`);
});

test("the launcher is killed: containers run on, new ones start", async () => {
  await started("before", "sleep 1000");
  const launchers = engine.machine.run("pgrep", "-x", "gantry-launch").trim().split("\n");
  assert.equal(launchers.length, 1);
  engine.machine.run("kill", "-9", launchers[0] ?? "");
  await until("its end", () => !engine.machine.has(`/proc/${launchers[0]}`));
  assert.equal((await api("GET", "/containers/before/json")).State.Running, true);
  await started("behind", "exit 4");
  assert.equal((await api("POST", "/containers/behind/wait")).StatusCode, 4);
  for (const name of ["before", "behind"]) await api("DELETE", `/containers/${name}?force=1`);
});

test("a shim is killed: its container ends with 137, others do not notice", async () => {
  await started("one", "sleep 1000");
  await started("two", "sleep 1000");
  const { Pid } = (await api("GET", "/containers/one/json")).State;
  const parent = engine.machine.run("ps", "-o", "ppid=", "-p", String(Pid)).trim();
  engine.machine.run("kill", "-9", parent);
  assert.equal((await api("POST", "/containers/one/wait")).StatusCode, 137);
  assert.equal((await api("GET", "/containers/one/json")).State.Status, "exited");
  assert.equal((await api("GET", "/containers/two/json")).State.Running, true);
  await until("the program of the first container is gone", () => processes(/^sleep 1000$/).length === 1);
  for (const name of ["one", "two"]) await api("DELETE", `/containers/${name}?force=1`);
});

test("a client is killed while attached: the container runs on and another may attach", async () => {
  const program = clients().find((client) => client.program !== undefined)?.program;
  assert.ok(program);
  const cli = new Cli(program, engine);
  const client = cli.start("run", "-i", "--name", "held", "busybox", "cat");
  await until("it runs", async () => (await engine.api.send("GET", "/containers/held/json")).body.includes('"Running":true'));
  client.kill("SIGKILL");
  await delay(200);
  const again = cli.start("attach", "held");
  again.stdin.end("still\n");
  let output = "";
  again.stdout.on("data", (data: Buffer) => (output += data.toString()));
  await Promise.race([new Promise((resolve) => again.on("close", resolve)), delay(60_000, undefined, { ref: false })]);
  again.kill("SIGKILL");
  const { State } = await api("GET", "/containers/held/json");
  // StdinOnce closes the container's stdin with the client that held it, as Docker does, so cat ends; else it echoes.
  assert.ok(State.Running === false ? State.ExitCode === 0 : output === "still\n", `${State.Status}, ${output}`);
  await api("DELETE", "/containers/held?force=1");
});
