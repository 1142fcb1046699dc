/** Sockets with fewer rights, by the stock and our own client. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { Api } from "../harness/api.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
const path = (name: string): string => join(engine.machine.folder, `${name}.sock`);

before(async () => {
  engine = await startedEngine();
  await engine.stop();
  await engine.start({ flags: ["--socket", `${path("watch")},allow=list+logs+events`, "--socket", `${path("work")},allow=create+lifecycle+remove+attach+list`] });
});
after(async () => endEngine(engine));

for (const { name: clientName, program } of clients()) {
  test(`${clientName}: a socket for watching shows no secrets and changes nothing; one for working does not reach the host`, { skip: program === undefined && "no docker command line on PATH" }, async () => {
    const client = program ?? "";
    const admin = new Cli(client, engine);
    const watch = new Cli(client, engine, path("watch"));
    const work = new Cli(client, engine, path("work"));
    const name = `scoped-${clientName}`;
    await admin.ok("run", "-d", "--name", name, "-e", "TOKEN=hunter2", "busybox", "sh", "-c", "echo ready; exec sleep 1000");
    assert.match(await watch.ok("ps"), new RegExp(name));
    await eventually(async () => assert.match(await watch.ok("logs", name), /^ready$/m));
    assert.match(await watch.ok("events", "--since", "0", "--until", String(Date.now() / 1000 + 0.1), "--filter", `container=${name}`), /start/);
    assert.match(await admin.ok("inspect", name), /hunter2/);
    const shown = await watch.ok("inspect", name);
    assert.ok(shown.includes("TOKEN=<hidden>") && !shown.includes("hunter2"), "values are hidden");
    for (const args of [["stop", name], ["exec", name, "true"], ["run", "--rm", "busybox", "true"], ["rm", "-f", name], ["volume", "create"], ["cp", `${name}:/etc/hosts`, "-"]]) {
      assert.match((await watch.run(args)).stderr, /is not allowed on this socket, which may list, logs, events only/, args.join(" "));
    }
    assert.equal(await work.ok("run", "--rm", "busybox", "echo", "worked"), "worked");
    for (const flags of [["-v", "/:/host"], ["--privileged"], ["--pid", "host"], ["--mount", "type=bind,src=/,dst=/host"]]) {
      assert.match((await work.run(["run", "--rm", ...flags, "busybox", "true"])).stderr, /must not reach the host or other containers/, flags.join(" "));
    }
    const started = await new Api(path("work")).send("POST", `/containers/${name}/start`, { query: { checkpoint: "made-up", "checkpoint-dir": "/tmp" } });
    assert.deepEqual([started.status, started.body.toString().trim()], [403, '{"message":"starts from checkpoints are not allowed on this socket"}']);
    await admin.ok("rm", "-f", name);
  });
}

test("only root opens such a socket, and nobody learns from it who asked for what", async () => {
  assert.equal(statSync(path("watch")).mode & 0o777, 0o660);
  assert.equal(statSync(path("watch")).gid, 0);
  const { status } = await new Api(path("watch")).send("GET", "/events?audit=1&since=0&until=1");
  assert.equal(status, 403);
});
