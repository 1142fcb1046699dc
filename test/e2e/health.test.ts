/** Health checks of running containers, over the API. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
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

async function untilHealth(name: string, found: (health: Json) => boolean): Promise<Json> {
  for (let tries = 0; tries < 600; tries++) {
    const { Health } = (await api("GET", `/containers/${name}/json`)).State;
    if (found(Health)) return Health;
    await delay(20);
  }
  throw new Error(`never: the health of ${name}`);
}

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
  await started("slow", { Test: ["CMD", "sh", "-c", "echo begun; exec sleep 1000"], Interval: 100 * MILLISECONDS, Timeout: 300 * MILLISECONDS, Retries: 1 });
  const { Log } = await untilHealth("slow", ({ Log }) => Log?.some(({ Output }: Json) => Output.includes("begun")));
  const probe = Log.find(({ Output }: Json) => Output.includes("begun"));
  assert.deepEqual([probe.ExitCode, probe.Output], [-1, "Health check exceeded timeout (300ms): begun\n"]);
  const { Processes } = await api("GET", "/containers/slow/top");
  assert.ok(Processes.length <= 3, "probes do not pile up");
  await api("DELETE", "/containers/slow?force=1");
});
