/** Logs that rotate and are compressed while they are written and followed, and options that Docker refuses at the start. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { demultiplex, type Json } from "../harness/api.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine({ flags: ["--log-limit", "20000"] });
});
after(async () => endEngine(engine));

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

async function run(name: string, script: string, LogConfig: object, more: object = {}): Promise<string> {
  const { Id } = await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: { LogConfig }, ...more });
  await api("POST", `/containers/${name}/start`);
  return Id as string;
}

const read = async (name: string, query = ""): Promise<string[]> => demultiplex((await engine.api.send("GET", `/containers/${name}/logs?stdout=1&stderr=1${query}`)).body).stdout.trim().split("\n");
const filesOf = (id: string): string[] => readdirSync(join(engine.dataRoot, "containers", id)).filter((name) => name.includes("json.log"));

test("rotated files are compressed while more is written; readers and followers get every line once", async () => {
  const id = await run("packed", "i=0; while [ $i -lt 600 ]; do echo line $i; i=$((i+1)); [ $((i % 100)) -ne 0 ] || sleep 0.1; done", { Type: "json-file", Config: { "max-size": "8k", "max-file": "20", compress: "true", tag: "{{.Name}}" } });
  const expected = Array.from({ length: 600 }, (_, index) => `line ${index}`);
  assert.deepEqual(await read("packed", "&follow=1"), expected);
  await eventually(() => assert.deepEqual(filesOf(id).filter((name) => /\.\d+$/.test(name)), [], "all old files are compressed"));
  assert.ok(filesOf(id).filter((name) => name.endsWith(".gz")).length >= 3);
  assert.deepEqual(await read("packed"), expected);
  assert.deepEqual(await read("packed", "&tail=150"), expected.slice(-150));
  assert.deepEqual(await read("packed", "&tail=1&details=1"), ["tag=packed line 599"]);
  await api("DELETE", "/containers/packed?force=1");
});

test("who has the head of the answer has the log, though the container is removed before it is read", async () => {
  const one = async (index: number): Promise<void> => {
    const name = `brief-${index}`;
    await run(name, `echo said ${index}`, {});
    const answer = await engine.api.open("GET", `/containers/${name}/logs?stdout=1&follow=${index % 2}`);
    await api("POST", `/containers/${name}/wait`);
    await api("DELETE", `/containers/${name}`);
    const text = demultiplex(await buffer(answer)).stdout;
    // Without following it may have been asked for before anything was printed.
    if (index % 2 === 1 || text !== "") assert.equal(text, `said ${index}\n`);
  };
  await Promise.all(Array.from({ length: 20 }, (_, index) => one(index)));
});

test("a log without a limit has the daemon's, and options are refused in Docker's words", async () => {
  const id = await run("endless", "i=0; while [ $i -lt 400 ]; do echo line $i of what never ends; i=$((i+1)); done", { Type: "json-file", Config: {} });
  await api("POST", "/containers/endless/wait");
  assert.deepEqual(filesOf(id).sort(), [`${id}-json.log`, `${id}-json.log.1`]);
  assert.equal((await read("endless", "&tail=1"))[0], "line 399 of what never ends");
  assert.deepEqual((await api("GET", "/containers/endless/json")).HostConfig.LogConfig, { Type: "json-file", Config: {} });
  await assert.rejects(run("odd", "true", { Type: "json-file", Config: { compress: "true" } }), /failed to create task for container: failed to initialize logging driver: compress cannot be true when max-file is less than 2 or max-size is not set/);
  await api("DELETE", "/containers/endless");
  await api("DELETE", "/containers/odd");
});
