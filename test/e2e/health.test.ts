/** Health checks of running containers, over the API. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { eventually, until } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });
const MILLISECONDS = 1_000_000;

async function started(name: string, healthcheck: object): Promise<void> {
  await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sleep", "1000"], Healthcheck: healthcheck });
  await api("POST", `/containers/${name}/start`);
}

const untilHealth = (name: string, found: (health: Json) => boolean): Promise<Json> =>
  eventually(async () => {
    const { Health } = (await api("GET", `/containers/${name}/json`)).State;
    assert.ok(found(Health), JSON.stringify(Health));
    return Health;
  });

test("a container is starting, healthy, and unhealthy after its retries; probes leave what they printed", async () => {
  await started("probed", { Test: ["CMD-SHELL", "echo looked; echo twice >&2; [ ! -e /ill ]"], Interval: 50 * MILLISECONDS, Timeout: 60_000 * MILLISECONDS, Retries: 2 });
  const healthy = await untilHealth("probed", ({ Status }) => Status === "healthy");
  assert.deepEqual([healthy.FailingStreak, healthy.Log.at(-1).ExitCode, healthy.Log.at(-1).Output.split("\n").sort().join(" ").trim()], [0, 0, "looked twice"]);
  const { Id } = await api("POST", "/containers/probed/exec", { Cmd: ["touch", "/ill"] });
  await api("POST", `/exec/${Id}/start`, { Detach: true });
  const unhealthy = await untilHealth("probed", ({ Status }) => Status === "unhealthy");
  assert.ok(unhealthy.FailingStreak >= 2);
  assert.equal((await api("GET", "/containers/json?filters={\"health\":[\"unhealthy\"]}")).length, 1);
  await api("DELETE", "/containers/probed?force=1");
});

test("a probe that takes too long is killed, and keeps what it printed", async () => {
  await started("slow", { Test: ["CMD", "sh", "-c", "echo begun; exec sleep 1000"], Interval: 100 * MILLISECONDS, Timeout: 1000 * MILLISECONDS, Retries: 1 });
  const { Log } = await untilHealth("slow", ({ Log }) => Log?.some(({ Output }: Json) => Output.includes("begun")));
  const probe = Log.find(({ Output }: Json) => Output.includes("begun"));
  assert.deepEqual([probe.ExitCode, probe.Output], [-1, "Health check exceeded timeout (1s): begun\n"]);
  const { Processes } = await api("GET", "/containers/slow/top");
  assert.ok(Processes.length <= 3, "probes do not pile up");
  await api("DELETE", "/containers/slow?force=1");
});

test("URLs are probed in the container's network, without a program in it; whoever waits for health is told", async () => {
  const index = "mkdir -p /w; echo up > /w/index.html; echo none > /w/down.html";
  await api("POST", "/containers/create?name=urls", { Image: "busybox", Cmd: ["sh", "-c", `${index}; exec httpd -f -p 8080 -h /w`], Healthcheck: { Test: ["CMD-SHELL", "http://:8080/index.html"], Interval: 50 * MILLISECONDS, Retries: 1000 } });
  await api("POST", "/containers/urls/start");
  assert.deepEqual(await api("POST", "/containers/urls/wait?condition=healthy"), { StatusCode: 0 });
  assert.equal((await untilHealth("urls", ({ Status }) => Status === "healthy")).Log.at(-1).Output, "HTTP 200 OK\nup\n");
  await started("closed", { Test: ["CMD-SHELL", "tcp://127.0.0.1:9"], Interval: 50 * MILLISECONDS, Retries: 2 });
  const waiting = engine.api.send("POST", "/containers/closed/wait?condition=healthy");
  const { Log } = await untilHealth("closed", ({ Status }) => Status === "unhealthy");
  assert.deepEqual([Log.at(-1).ExitCode, /ECONNREFUSED/.test(Log.at(-1).Output)], [1, true]);
  await api("DELETE", "/containers/closed?force=1");
  assert.match((await waiting).body.toString(), /ended before it was healthy/);
  assert.equal((await engine.api.send("POST", "/containers/create", { json: { Image: "busybox", Healthcheck: { Test: ["CMD-SHELL", "http://example.org/"] } } })).status, 400);
  await api("DELETE", "/containers/urls?force=1");
});

test("a container that is to be restarted when unhealthy is, until it is healthy", async () => {
  const Annotations = { "gantry.restart-unhealthy": "true" };
  // Each run is ill until its third, and is asked once it has said that it is one.
  const Cmd = ["sh", "-c", "echo run >> /runs; exec sleep 1000"];
  await api("POST", "/containers/create?name=ill", { Image: "busybox", Cmd, StopTimeout: 0, Healthcheck: { Test: ["CMD-SHELL", "until grep -q ^sleep /proc/1/cmdline; do sleep 0.02; done; [ $(wc -l < /runs) -ge 3 ]"], Interval: 50 * MILLISECONDS, Retries: 1 }, HostConfig: { Annotations } });
  await api("POST", "/containers/ill/start");
  assert.deepEqual(await api("POST", "/containers/ill/wait?condition=healthy"), { StatusCode: 0 });
  const { RestartCount, State } = await api("GET", "/containers/ill/json");
  assert.deepEqual([RestartCount, State.Status, State.Health.Status], [2, "running", "healthy"]);
  await api("DELETE", "/containers/ill?force=1");
  const refused = (Healthcheck: object | undefined, value: string) => engine.api.send("POST", "/containers/create", { json: { Image: "busybox", Healthcheck, HostConfig: { Annotations: { "gantry.restart-unhealthy": value } } } });
  assert.match((await refused(undefined, "true")).body.toString(), /needs a health check/);
  assert.match((await refused({ Test: ["CMD", "true"] }, "often")).body.toString(), /neither true nor false/);
});

test("a container whose port is taken when the daemon starts is started when it is free", async () => {
  await api("POST", "/containers/create?name=late", { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { RestartPolicy: { Name: "always" }, PortBindings: { "80/tcp": [{ HostPort: "18080" }] } } });
  await api("POST", "/containers/late/start");
  await api("POST", "/containers/late/stop?t=0");
  await engine.stop();
  const listener = engine.machine.spawn([process.execPath, "-e", "require('net').createServer().listen(18080, '0.0.0.0', () => console.log('listens')); process.stdin.resume().on('end', () => process.exit())"]);
  await once(listener.stdout!, "data");
  await engine.start();
  const status = async () => (await api("GET", "/containers/late/json")).State.Status as string;
  await until("it is tried again", async () => (await status()) === "restarting");
  listener.stdin!.end();
  await until("it runs when the port is free", async () => (await status()) === "running");
  await api("DELETE", "/containers/late?force=1");
});
