/** Checkpoints of containers, by the real criu where there is one that works; refused without the experimental mode everywhere. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { demultiplex, type Json } from "../harness/api.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

const works = process.getuid?.() === 0 && spawnSync("criu", ["check"], { stdio: "ignore" }).status === 0;

describe("checkpoints", () => {
  let engine: Engine;
  let cli: Cli;
  before(async () => {
    engine = await startedEngine({ flags: ["--experimental"] });
    cli = new Cli(join(project, "bin/gantry"), engine);
  });
  after(() => endEngine(engine));

  const inspect = (name: string): Promise<Json> => engine.api.json("GET", `/containers/${name}/json`);
  const lines = async (name: string): Promise<string[]> => demultiplex((await engine.api.send("GET", `/containers/${name}/logs?stdout=1&stderr=1`)).body).stdout.trim().split("\n");
  const last = async (name: string): Promise<number> => Number((await lines(name)).at(-1));
  const countsPast = (name: string, least: number): Promise<void> => until(`a count beyond ${least}`, async () => (await last(name)) > least);
  const counting = ["busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"];
  const refusal = async (method: "POST" | "GET" | "DELETE", path: string, json?: object): Promise<[number, string]> => {
    const { status, body } = await engine.api.send(method, path, json && { json });
    return [status, (JSON.parse(body.toString()) as { message: string }).message];
  };

  test("what cannot be saved, or is not there, is refused", async () => {
    await cli.ok("create", "--name", "idle", ...counting);
    assert.deepEqual(await refusal("POST", "/containers/idle/checkpoints", { CheckpointID: "one" }), [500, "Container idle not running"]);
    assert.deepEqual(await refusal("GET", "/containers/none/checkpoints"), [404, "No such container: none"]);
    assert.deepEqual(await refusal("DELETE", "/containers/idle/checkpoints/one"), [500, "checkpoint one does not exist for container idle"]);
    assert.deepEqual(await refusal("DELETE", "/containers/idle/checkpoints/.x"), [500, "checkpoint .x does not exist for container idle"]);
    assert.deepEqual(await refusal("POST", "/containers/idle/start?checkpoint=one"), [500, "checkpoint one does not exist for container idle"]);
    assert.equal((await refusal("POST", "/containers/idle/start?checkpoint=..%2Fx"))[0], 400);
    assert.equal(await engine.api.json("GET", "/containers/idle/checkpoints"), null);
    await cli.ok("run", "-d", "-t", "--name", "terminal", "busybox", "sleep", "1000");
    assert.deepEqual(await refusal("POST", "/containers/terminal/checkpoints", { CheckpointID: "one" }), [500, "checkpoint not support on containers with tty"]);
    assert.deepEqual(await refusal("POST", "/containers/terminal/checkpoints", { CheckpointID: "../x" }), [500, "checkpoint not support on containers with tty"]);
    if (!works) {
      await cli.ok("start", "idle");
      const [status, message] = await refusal("POST", "/containers/idle/checkpoints", { CheckpointID: "one", Exit: true });
      assert.equal(status, 500);
      assert.match(message, /^Cannot checkpoint container idle: .*criu/);
      assert.equal((await inspect("idle")).State.Status, "running");
      assert.equal(await engine.api.json("GET", "/containers/idle/checkpoints"), null);
    }
    await cli.ok("rm", "-f", "idle", "terminal");
  });

  test("a container goes on from its checkpoint, with its network, log and policy", { skip: works ? false : "needs a criu that works on this kernel (criu check)" }, async () => {
    await cli.ok("run", "-d", "--name", "count", "--restart", "always", "-v", "kept:/kept", "-m", "64m", ...counting);
    await countsPast("count", 3);
    assert.equal(await cli.ok("checkpoint", "create", "--leave-running", "count", "first"), "first");
    assert.equal((await inspect("count")).State.Status, "running");
    await countsPast("count", await last("count"));
    assert.match((await cli.run(["checkpoint", "create", "count", "first"])).stderr, /checkpoint with name first already exists for container count/);
    await cli.ok("checkpoint", "create", "count", "second");
    const { State } = await inspect("count");
    assert.deepEqual([State.Status, State.ExitCode], ["exited", 137]);
    assert.equal(await cli.ok("checkpoint", "ls", "count"), "CHECKPOINT NAME\nfirst\nsecond");
    const before = await last("count");
    await cli.ok("start", "--checkpoint", "second", "count");
    await countsPast("count", before);
    const numbers = (await lines("count")).map(Number);
    assert.ok(numbers.indexOf(before + 1) > 0 && numbers.lastIndexOf(1) === 0, "it did not begin anew");
    const { State: now, NetworkSettings } = await inspect("count");
    assert.equal(now.Status, "running");
    assert.match(await cli.ok("exec", "count", "ip", "-4", "addr", "show", "eth0"), new RegExp(` ${Object.values<Json>(NetworkSettings.Networks)[0].IPAddress}/`));
    assert.equal(await cli.ok("exec", "count", "sh", "-c", "echo more > /kept/file; cat /kept/file"), "more");
    assert.match(await cli.ok("stats", "--no-stream", "--format", "{{.PIDs}}", "count"), /^[1-9]/);
    await cli.ok("pause", "count");
    await cli.ok("unpause", "count");

    // Of one that was restored, and after a new daemon.
    await engine.stop();
    await engine.start();
    await countsPast("count", await last("count"));
    await cli.ok("checkpoint", "create", "--checkpoint-dir", join(engine.dataRoot, "elsewhere"), "count", "third");
    const { Id } = await inspect("count");
    assert.ok(existsSync(join(engine.dataRoot, "elsewhere", Id, "checkpoints/third/pstree.img")));
    const later = await last("count");
    await cli.ok("start", "--checkpoint", "third", "--checkpoint-dir", join(engine.dataRoot, "elsewhere"), "count");
    await countsPast("count", later);
    await cli.ok("checkpoint", "rm", "count", "first");
    assert.equal(await cli.ok("checkpoint", "ls", "count"), "CHECKPOINT NAME\nsecond");
    const { body } = await engine.api.send("GET", "/events", { query: { since: 0, until: Math.ceil(Date.now() / 1000), filters: JSON.stringify({ container: ["count"], event: ["start", "die", "checkpoint"] }) } });
    const actions = body.toString().trim().split("\n").map((line) => (JSON.parse(line) as { Action: string }).Action);
    assert.deepEqual(actions, ["start", "checkpoint", "checkpoint", "die", "start", "checkpoint", "die", "start"]);
    await cli.ok("rm", "-f", "count");
  });

  test("a start that fails says why; a plain start begins anew", { skip: works ? false : "needs a criu that works on this kernel (criu check)" }, async () => {
    await cli.ok("run", "-d", "--name", "again", "--network", "none", ...counting);
    await countsPast("again", 2);
    // A new daemon knows enough of it.
    await engine.stop();
    await engine.start();
    await cli.ok("checkpoint", "create", "again", "whole");
    const before = await last("again");
    await cli.ok("start", "--checkpoint", "whole", "again");
    await countsPast("again", before);
    await cli.ok("checkpoint", "create", "again", "broken");
    engine.machine.run("sh", "-c", `rm ${join(engine.dataRoot, "containers", (await inspect("again")).Id, "checkpoints/broken/core-1.img")}`);
    assert.match((await cli.run(["start", "--checkpoint", "broken", "again"])).stderr, /criu failed: restore.*broken\/restore\.log/);
    assert.equal((await inspect("again")).State.Status, "exited");
    await cli.ok("start", "again");
    await until("a new beginning", async () => (await lines("again")).filter((line) => line === "1").length === 2);
    await cli.ok("rm", "-f", "again");
  });
});
