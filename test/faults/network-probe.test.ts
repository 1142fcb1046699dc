/**
 * Traffic of running containers while the daemon is killed and started again: new connections through a published port and from
 * container to container, and names, with not one failure. GANTRY_PROBE_KILLS and GANTRY_PROBE_RATE make it longer and faster.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Json } from "../harness/api.ts";
import { endEngine, startedEngine } from "../harness/engine.ts";
import type { Engine } from "../harness/engine.ts";

const kills = Number(process.env["GANTRY_PROBE_KILLS"] ?? 3);
/** Connections a second, of each of the two ways. */
const rate = Number(process.env["GANTRY_PROBE_RATE"] ?? 200);

let engine: Engine;
before(async () => {
  engine = await startedEngine();
  for (const Name of ["front", "other"]) await engine.api.json("POST", "/networks/create", { json: { Name } });
  await run("server", "front", { PortBindings: { "8000/tcp": [{ HostPort: "21990" }] } });
  await run("sibling", "front");
  await run("stranger", "other");
});
after(async () => endEngine(engine));

async function run(name: string, network: string, hostConfig: object = {}): Promise<void> {
  await engine.api.json("POST", "/containers/create", { query: { name }, json: { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: network, ...hostConfig } } });
  await engine.api.json("POST", `/containers/${name}/start`);
}

const inspect = (name: string): Promise<Json> => engine.api.json("GET", `/containers/${name}/json`);

const SERVER = `require("net").createServer((socket) => socket.on("error", () => {}).end("served")).listen(8000, () => console.log("up")); process.stdin.on("end", () => process.exit()).resume()`;

/** Connects, reads the answer and hangs up, so often a second; at the end of its input, but after a hundred, it says what it counted. */
const CLIENT = `
const [address, port, rate] = process.argv.slice(1);
const counted = { made: 0, failed: {}, slowest: 0 };
const fail = (reason) => (counted.failed[reason] = (counted.failed[reason] ?? 0) + 1);
let open = 0;
function once() {
  const began = performance.now();
  let text = "";
  open++;
  const socket = require("net").connect({ host: address, port: Number(port), timeout: 20000 });
  socket.on("data", (data) => (text += data));
  socket.on("timeout", () => socket.destroy(new Error("timeout")));
  socket.on("error", (error) => fail(error.code ?? error.message));
  // Without a wait for stray packets: the ports of a client are few.
  socket.on("end", () => socket.resetAndDestroy());
  socket.on("close", () => {
    open--;
    counted.made++;
    if (text !== "served") fail("no answer");
    counted.slowest = Math.max(counted.slowest, Math.round(performance.now() - began));
  });
}
const began = performance.now();
let due = 0;
const timer = setInterval(() => {
  const now = Math.floor((performance.now() - began) / 1000 * Number(rate));
  for (; due < now; due++) if (open < 500) once();
}, 5);
process.stdin.on("end", () => setInterval(() => {
  if (due > 100) clearInterval(timer);
  if (due > 100 && open === 0) process.exit(console.log(JSON.stringify(counted)));
}, 20)).resume();
console.log("up");`;

const NAMES = `
const resolver = new (require("dns").promises.Resolver)({ timeout: 20000, tries: 1 });
resolver.setServers(["127.0.0.11"]);
const counted = { made: 0, failed: {}, slowest: 0 };
let ending = false;
process.stdin.on("end", () => (ending = true)).resume();
console.log("up");
(async () => {
  while (!ending || counted.made <= 100) {
    const began = performance.now();
    await resolver.resolve4("server").catch((error) => (counted.failed[error.code] = (counted.failed[error.code] ?? 0) + 1));
    counted.made++;
    counted.slowest = Math.max(counted.slowest, Math.round(performance.now() - began));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  console.log(JSON.stringify(counted));
  process.exit();
})();`;

interface Counted {
  made: number;
  failed: Record<string, number>;
  slowest: number;
}

interface Probe {
  /** Gives the last line that it printed. */
  end(): Promise<string>;
}

/** A program of Node's with the container's network alone. */
async function inside(name: string, program: string, ...args: string[]): Promise<Probe> {
  const [command, argv] = engine.machine.command(["nsenter", `--net=/proc/${(await inspect(name)).State.Pid}/ns/net`, process.execPath, "-e", program, ...args], 'exec "$@"');
  const child = spawn(command, argv, { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  while (!text.includes("up\n")) {
    assert.equal(child.exitCode, null, "the probe has ended");
    await delay(10);
  }
  const closed = once(child, "close");
  const end = async (): Promise<string> => {
    // What ends a process inside, which nobody else may.
    child.stdin.end();
    await closed;
    return text.trim().split("\n").at(-1) ?? "";
  };
  return { end };
}

test(`${kills} kills of the daemon interrupt nobody`, async (t) => {
  const server = await inside("server", SERVER);
  const { IPAddress } = (await inspect("server")).NetworkSettings.Networks.front;
  const { Gateway } = (await inspect("stranger")).NetworkSettings.Networks.other;
  const probes = { "container to container": await inside("sibling", CLIENT, IPAddress, "8000", String(rate)), "published port": await inside("stranger", CLIENT, Gateway, "21990", String(rate)), names: await inside("sibling", NAMES) };
  try {
    await engine.api.json("POST", "/containers/create", { query: { name: "busy" }, json: { Image: "busybox", Cmd: ["true"], HostConfig: { NetworkMode: "front", PortBindings: { "80/tcp": [{ HostPort: "" }] } } } });
    for (let count = 0; count < kills; count++) {
      await delay(200);
      // In the middle of something, each time elsewhere.
      const starting = engine.api.send("POST", "/containers/busy/start").catch(() => undefined);
      await delay(count * 3);
      await engine.kill();
      await starting;
      await delay(100);
      await engine.start();
    }
    await delay(500);
    for (const [name, probe] of Object.entries(probes)) {
      const { made, failed, slowest } = JSON.parse(await probe.end()) as Counted;
      t.diagnostic(`${name}: ${made} in all, the slowest took ${slowest} ms`);
      assert.deepEqual(failed, {}, name);
      assert.ok(made > 100, name);
    }
  } finally {
    for (const { end } of [...Object.values(probes), server]) await end();
  }
});
