/** Containers that behave badly do not hurt the daemon: it keeps answering fast, and they can be removed. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

/** Starts the program, pings for two seconds, and gives the slowest answer but one in a hundred. */
async function pingWhile(name: string, cmd: string[], hostConfig: object): Promise<number> {
  await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: cmd, HostConfig: hostConfig });
  await api("POST", `/containers/${name}/start`);
  const samples: number[] = [];
  for (const end = Date.now() + 2000; Date.now() < end; ) {
    const began = performance.now();
    assert.equal((await engine.api.send("GET", "/_ping")).status, 200);
    samples.push(performance.now() - began);
    await delay(5);
  }
  samples.sort((a, b) => a - b);
  return samples[Math.floor(samples.length * 0.99)] ?? NaN;
}

test("containers are not preferred, as the daemon is", async () => {
  await api("POST", "/containers/create?name=nice", { Image: "busybox", Cmd: ["cut", "-d", " ", "-f", "19", "/proc/1/stat"] });
  await api("POST", "/containers/nice/start");
  await api("POST", "/containers/nice/wait");
  const { body } = await engine.api.send("GET", "/containers/nice/logs?stdout=1");
  assert.equal(body.subarray(8).toString(), "0\n");
  assert.equal(engine.machine.run("cut", "-d", " ", "-f", "19", `/proc/${engine.pid()}/stat`).trim(), "-5");
  await api("DELETE", "/containers/nice");
});

test("a flood of output is written, rotated and read", async () => {
  const slowest = await pingWhile("flood", ["sh", "-c", "yes 0123456789012345678901234567890123456789"], { LogConfig: { Type: "json-file", Config: { "max-size": "1m", "max-file": "2" } } });
  assert.ok(slowest < 30_000, `${slowest} ms`);
  const { body } = await engine.api.send("GET", "/containers/flood/logs?stdout=1&tail=5");
  assert.ok(body.includes("0123456789"));
  await api("DELETE", "/containers/flood?force=1");
});

/** Runs a container to its end. */
async function run(cmd: string[], hostConfig: object): Promise<{ output: string; oomKilled: boolean }> {
  const { Id } = await api("POST", "/containers/create", { Image: "busybox", Tty: true, Cmd: cmd, HostConfig: hostConfig });
  await api("POST", `/containers/${Id}/start`);
  await api("POST", `/containers/${Id}/wait`);
  const { body } = await engine.api.send("GET", `/containers/${Id}/logs?stdout=1&stderr=1`);
  const { State } = await api("GET", `/containers/${Id}/json`);
  await api("DELETE", `/containers/${Id}`);
  return { output: body.toString(), oomKilled: State.OOMKilled };
}

test("control: without a limit there are as many processes, and as much memory, as a container likes", async () => {
  const fork = ["sh", "-c", "for i in $(seq 100); do sleep 1000 & done; ls -d /proc/[0-9]* | wc -l; kill -9 -1"];
  assert.ok(Number((await run(fork, { PidsLimit: -1 })).output.trim()) > 100);
  assert.doesNotMatch((await run(fork, { PidsLimit: 64 })).output, /^1\d\d/m);
  const eat = ["sh", "-c", "head -c 32m /dev/zero | tail >/dev/null"];
  assert.equal((await run(eat, {})).oomKilled, false);
  assert.equal((await run(eat, { Memory: 16 << 20, MemorySwap: 16 << 20 })).oomKilled, true);
});

test("a fork bomb stays within its limit", async () => {
  const slowest = await pingWhile("bomb", ["sh", "-c", "bomb() { bomb | bomb & }; bomb; sleep 1000"], { PidsLimit: 64 });
  assert.ok(slowest < 30_000, `${slowest} ms`);
  await api("POST", "/containers/bomb/kill");
  await api("POST", "/containers/bomb/wait");
  await api("DELETE", "/containers/bomb?force=1");
});

test("one that eats memory is killed by its own limit", async () => {
  await pingWhile("eater", ["sh", "-c", "tail /dev/zero"], { Memory: 16 << 20, MemorySwap: 16 << 20 });
  const { StatusCode } = await api("POST", "/containers/eater/wait");
  assert.notEqual(StatusCode, 0);
  assert.equal((await api("GET", "/containers/eater/json")).State.OOMKilled, true);
  await api("DELETE", "/containers/eater");
});

test("one that ignores SIGTERM is killed when its time is over; one with orphans leaves none", async () => {
  await api("POST", "/containers/create?name=deaf", { Image: "busybox", StopTimeout: 1000, Cmd: ["sh", "-c", "trap '' TERM INT HUP; (setsid sleep 4321 &); while :; do sleep 1; done"] });
  await api("POST", "/containers/deaf/start");
  const programs = (): string => engine.machine.run("ps", "-eo", "args=");
  await until("the orphan", () => programs().includes("sleep 4321"));
  await api("POST", "/containers/deaf/stop?t=1");
  assert.equal((await api("GET", "/containers/deaf/json")).State.ExitCode, 137);
  assert.ok(!programs().includes("sleep 4321"));
  await api("DELETE", "/containers/deaf");
});

test("in the host's pid namespace, orphans end with the container", async () => {
  await api("POST", "/containers/create?name=orphans", { Image: "busybox", Cmd: ["sh", "-c", "(setsid sleep 4322 &); sleep 0.2"], HostConfig: { PidMode: "host" } });
  await api("POST", "/containers/orphans/start");
  await api("POST", "/containers/orphans/wait");
  await api("DELETE", "/containers/orphans?force=1");
  await until("the orphan's end", () => !engine.machine.run("ps", "-eo", "args=").includes("sleep 4322"));
});
