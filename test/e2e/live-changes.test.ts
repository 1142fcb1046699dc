/** What changes in a container that runs, without a restart, and lasts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Json } from "../harness/api.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let cli: Cli;
before(async () => {
  engine = await startedEngine();
  cli = new Cli(join(project, "bin/gantry"), engine);
});
after(async () => endEngine(engine));

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

test("labels, and variables of programs that start from now on, also after the daemon's restart", async () => {
  await cli.ok("run", "-d", "--name", "changing", "--label", "a=1", "-e", "A=1", "-e", "B=2", "busybox", "sleep", "1000");
  assert.equal(await cli.ok("update", "--label-add", "b=2", "--label-rm", "a", "--env-add", "A=changed", "--env-rm", "B", "changing"), "changing");
  const seen = async (): Promise<void> => {
    const { Config, State } = await api("GET", "/containers/changing/json");
    assert.deepEqual([Config.Labels, Config.Env.filter((entry: string) => /^[AB]=/.test(entry)), State.Running], [{ b: "2" }, ["A=changed"], true]);
    assert.equal(await cli.ok("ps", "-q", "--filter", "label=a"), "");
    assert.equal(await cli.ok("exec", "changing", "sh", "-c", "echo $A$B"), "changed");
  };
  await seen();
  await engine.stop();
  await engine.start();
  await seen();
  const { status, body } = await engine.api.send("POST", "/containers/changing/update", { json: { EnvAdd: ["NOVALUE"] } });
  assert.deepEqual([status, /not of the form NAME=VALUE/.test(body.toString())], [400, true]);
  await api("DELETE", "/containers/changing?force=1");
});

test("one exec is killed by its id, the container goes on", async () => {
  await cli.ok("run", "-d", "--name", "many", "busybox", "sleep", "1000");
  const { Id } = await api("POST", "/containers/many/exec", { Cmd: ["sleep", "2000"] });
  await assert.rejects(api("POST", `/exec/${Id}/kill`), /409.*is not running/);
  await api("POST", `/exec/${Id}/start`, { Detach: true });
  assert.equal(await cli.ok("kill", "--exec", "--signal", "TERM", Id), Id);
  for (let tries = 0; (await api("GET", `/exec/${Id}/json`)).Running; tries++) assert.ok(tries < 10_000);
  assert.equal((await api("GET", `/exec/${Id}/json`)).ExitCode, 143);
  assert.equal((await api("GET", "/containers/many/json")).State.Running, true);
  await api("DELETE", "/containers/many?force=1");
});

test("dial-stdio is a connection to the daemon", async () => {
  const child = cli.start("system", "dial-stdio");
  let answer = "";
  child.stdout.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  child.stdin.end("GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await once(child, "close");
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nOK/);
});
