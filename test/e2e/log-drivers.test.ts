/** Logs that are sent on: nothing is lost while the server is away or when the daemon is killed; `logs` reads what is kept here. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../src/lib/eventually.testing.ts";
import { demultiplex, type Json } from "../harness/api.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let folder: string;
before(async () => {
  engine = await startedEngine();
  folder = engine.machine.folder;
});
after(async () => {
  for (const receiver of receivers) receiver.close();
  await endEngine(engine);
});

const receivers: Receiver[] = [];

/** A syslog server on a unix socket, which a machine of its own reaches as well. */
class Receiver {
  readonly path: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  /** Of each connection: one that broke ends within a line. */
  readonly #texts: string[] = [];

  constructor(name: string) {
    this.path = join(folder, `${name}.sock`);
    receivers.push(this);
  }

  get options(): Json {
    return { "syslog-address": `unix://${this.path}` };
  }

  async listen(): Promise<void> {
    rmSync(this.path, { force: true });
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      const own = this.#texts.push("") - 1;
      const decoder = new TextDecoder();
      socket.on("data", (chunk: Buffer) => (this.#texts[own] += decoder.decode(chunk, { stream: true })));
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.path, resolve));
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** The lines by the tag. */
  lines(tag: string): string[] {
    return this.#texts.flatMap((text) => text.split("\n").slice(0, -1)).flatMap((line) => (line.includes(` ${tag}[`) ? [line.slice(line.indexOf("]: ") + 3)] : []));
  }

  async until(tag: string, last: string): Promise<string[]> {
    await until(() => `"${last}" arrives; ${this.lines(tag).length} lines did, the last ${this.lines(tag).at(-1)}\n${engine.log().slice(-2000)}`, () => this.lines(tag).includes(last));
    return this.lines(tag);
  }
}

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

async function create(name: string, script: string, LogConfig: Json, more: Json = {}): Promise<string> {
  return (await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: { LogConfig, ...more } })).Id as string;
}

const started = async (name: string, script: string, Config: Json, more: Json = {}): Promise<string> => {
  const id = await create(name, script, { Type: "syslog", Config: { tag: name, ...Config } }, more);
  await api("POST", `/containers/${name}/start`);
  return id;
};

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `line ${index}`);
const count = (most: number, pause = ""): string => `i=0; while [ $i -lt ${most} ]; do echo line $i; i=$((i+1)); ${pause} done`;
/** The first time that each came. */
const once = (lines: string[]): string[] => [...new Set(lines)];

test("every line arrives, and logs reads the record that is kept here", async () => {
  const receiver = new Receiver("plain");
  await receiver.listen();
  const id = await started("plain", `${count(500)}; echo problem >&2`, receiver.options);
  await receiver.until("plain", "problem");
  assert.deepEqual(receiver.lines("plain").sort(), [...numbered(500), "problem"].sort());
  assert.equal(demultiplex((await engine.api.send("GET", "/containers/plain/logs?stdout=1&stderr=1")).body).stdout, `${numbered(500).join("\n")}\n`);
  assert.equal((await api("GET", "/containers/plain/json")).LogPath, "");
  await api("DELETE", "/containers/plain?force=1");
  await until("nothing is left of a container whose log is sent", () => !existsSync(join(engine.dataRoot, "containers", id)));
});

test("a start fails when the server is not there, in Docker's words", async () => {
  const receiver = new Receiver("nobody");
  await receiver.listen();
  await create("nobody", "true", { Type: "syslog", Config: receiver.options });
  receiver.close();
  await assert.rejects(api("POST", "/containers/nobody/start"), /failed to create task for container: failed to initialize logging driver: dial unix \S+nobody\.sock: connect: (connection refused|no such file or directory)/);
  await api("DELETE", "/containers/nobody");
});

test("a server that is away for a time gets everything, and the container does not wait for it", async () => {
  const receiver = new Receiver("away");
  await receiver.listen();
  await started("away", `echo begun; while [ ! -e /go ]; do sleep 0.05; done; ${count(3000)}`, { ...receiver.options, "cache-max-size": "16k", "cache-max-file": "2" });
  await receiver.until("away", "begun");
  receiver.close();
  await api("POST", "/containers/away/exec", { Cmd: ["touch", "/go"] }).then(({ Id }) => api("POST", `/exec/${Id}/start`, { Detach: true }));
  assert.equal((await api("POST", "/containers/away/wait")).StatusCode, 0);
  await receiver.listen();
  await receiver.until("away", "line 2999");
  assert.deepEqual(once(receiver.lines("away")), ["begun", ...numbered(3000)]);
  const { Id } = await api("GET", "/containers/away/json");
  const files = (): string[] => readdirSync(join(engine.dataRoot, "containers", Id)).filter((name) => /json\.log(\.\d+)?(\.gz)?$/.test(name));
  await until(() => `of what is sent, two files stay: ${files().join(" ")}`, () => files().length <= 2);
  await api("DELETE", "/containers/away");
});

test("kill -9 of the daemon in a flood: every line arrives, in order", async () => {
  const receiver = new Receiver("flood");
  await receiver.listen();
  await started("flood", count(30_000), { ...receiver.options, "cache-max-size": "256k", "syslog-format": "rfc3164" });
  for (const seen of [2000, 12_000]) {
    for (let tries = 0; receiver.lines("flood").length < seen && tries < 500; tries++) await delay(5);
    await engine.kill();
    await engine.start();
  }
  await receiver.until("flood", "line 29999");
  assert.deepEqual(once(receiver.lines("flood")), numbered(30_000));
  await api("DELETE", "/containers/flood?force=1");
});

test("kill -9 of what sends logs on: it is started again, and every line arrives", async () => {
  const receiver = new Receiver("sender");
  await receiver.listen();
  await started("sender", `echo begun; while [ ! -e /tmp/end ]; do sleep 0.05; done; ${count(300)}`, receiver.options, { Binds: [`${folder}:/tmp`] });
  await receiver.until("sender", "begun");
  engine.machine.run("sh", "-c", 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" != gantry-logs ] || kill -9 ${p#/proc/}; done');
  engine.machine.run("touch", join(folder, "end"));
  await receiver.until("sender", "line 299");
  assert.deepEqual(once(receiver.lines("sender")), ["begun", ...numbered(300)]);
  assert.match(engine.log(), /gantry-logs: it ended with SIGKILL; it is started again/);
  await api("DELETE", "/containers/sender?force=1");
});

test("what a container printed while no daemon was there is sent by the next; --rm loses nothing", async () => {
  const receiver = new Receiver("later");
  await receiver.listen();
  await started("later", `echo begun; while [ ! -e /tmp/go ]; do sleep 0.05; done; ${count(300)}`, receiver.options, { Binds: [`${folder}:/tmp`], AutoRemove: true });
  await receiver.until("later", "begun");
  await engine.kill();
  engine.machine.run("touch", join(folder, "go"));
  await delay(300);
  await engine.start();
  await receiver.until("later", "line 299");
  assert.deepEqual(once(receiver.lines("later")), ["begun", ...numbered(300)]);
});

test("without a record here logs is refused; options are checked in Docker's words", async () => {
  const receiver = new Receiver("bare");
  await receiver.listen();
  await started("bare", "echo only there", { ...receiver.options, "cache-disabled": "true" });
  await receiver.until("bare", "only there");
  await assert.rejects(api("GET", "/containers/bare/logs?stdout=1"), /configured logging driver does not support reading/);
  await assert.rejects(create("odd", "true", { Type: "syslog", Config: { "cache-disabled": "maybe" } }), /invalid value for option cache-disabled: maybe/);
  await assert.rejects(create("odd", "true", { Type: "syslog", Config: { "syslog-nosuch": "1" } }), /unknown log opt 'syslog-nosuch' for syslog log driver/);
  await api("DELETE", "/containers/bare");
});

test("options change while the container runs, and last", async () => {
  const [first, second] = [new Receiver("first"), new Receiver("second")];
  await Promise.all([first.listen(), second.listen()]);
  await started("moving", "while :; do [ ! -e /say ] || { cat /say; rm /say; }; sleep 0.05; done", first.options);
  const say = async (text: string): Promise<void> => api("POST", "/containers/moving/exec", { Cmd: ["sh", "-c", `echo ${text} > /say.new; mv /say.new /say`] }).then(({ Id }) => api("POST", `/exec/${Id}/start`, { Detach: true }));
  await say("to the first");
  await first.until("moving", "to the first");
  await api("POST", "/containers/moving/update", { LogOptAdd: { ...second.options, tag: "moved" } });
  await say("to the second");
  await second.until("moved", "to the second");
  await engine.kill();
  await engine.start();
  await say("after the restart");
  await second.until("moved", "after the restart");
  assert.deepEqual(first.lines("moving"), ["to the first"]);
  second.close();
  await assert.rejects(api("POST", "/containers/moving/update", { LogOptAdd: { "syslog-nosuch": "1" } }), /unknown log opt 'syslog-nosuch' for syslog log driver/);
  await assert.rejects(api("POST", "/containers/moving/update", { LogOptAdd: { "syslog-address": `unix://${folder}/none.sock` } }), /no such file or directory/);
  await api("POST", "/containers/moving/update", { LabelAdd: { free: "of the server" } });
  assert.deepEqual((await api("GET", "/containers/moving/json")).HostConfig.LogConfig, { Type: "syslog", Config: { tag: "moved", ...second.options } });
  await api("DELETE", "/containers/moving?force=1");
});

test("limits, compression and attributes of a json-file change while it is written", async () => {
  const id = await create("resized", `${count(2000)}; touch /first; while [ ! -e /go ]; do sleep 0.05; done; i=2000; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; sleep 1000`, { Type: "json-file", Config: {} });
  await api("POST", "/containers/resized/start");
  const size = (): string[] => readdirSync(join(engine.dataRoot, "containers", id)).filter((name) => name.includes("json.log"));
  const tail = async (query: string): Promise<string> => demultiplex((await engine.api.send("GET", `/containers/resized/logs?stdout=1&tail=1${query}`)).body).stdout;
  await until("the first half", async () => (await tail("")) === "line 1999\n");
  assert.equal(size().length, 1);
  await api("POST", "/containers/resized/update", { LogOptAdd: { "max-size": "20k", "max-file": "4", compress: "true", labels: "tier" }, LabelAdd: { tier: "front" } });
  await api("POST", "/containers/resized/exec", { Cmd: ["touch", "/go"] }).then(({ Id }) => api("POST", `/exec/${Id}/start`, { Detach: true }));
  await until("the second half", async () => (await tail("")) === "line 3999\n");
  assert.equal(await tail("&details=1"), "tier=front line 3999\n");
  await until(() => `four files, the old ones compressed: ${size().join(" ")}`, () => size().length === 4 && size().filter((name) => name.endsWith(".gz")).length === 3);
  await api("POST", "/containers/resized/update", { LogOptAdd: { "max-file": "2" }, LogOptRemove: ["labels"] });
  await until(() => `two files: ${size().join(" ")}`, () => size().length === 2);
  assert.deepEqual((await api("GET", "/containers/resized/json")).HostConfig.LogConfig.Config, { "max-size": "20k", "max-file": "2", compress: "true" });
  const events = (await engine.api.send("GET", `/events?since=0&until=${Math.ceil(Date.now() / 1000) + 1}&filters=${encodeURIComponent(JSON.stringify({ container: ["resized"], event: ["update"] }))}`)).body.toString().trim().split("\n");
  assert.equal(events.length, 2);
  await api("DELETE", "/containers/resized?force=1");
});
