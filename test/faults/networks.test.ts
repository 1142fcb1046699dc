/** kill -9 of gantryd at every step of a network's life: after the restart kernel and records agree, and nothing is left. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { endEngine, startedEngine } from "../harness/engine.ts";
import type { Engine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
  await post("/networks/create", { Name: "base" });
  await run("neighbour", "base");
});
after(async () => endEngine(engine));

const post = (path: string, json?: object): Promise<Json> => engine.api.json("POST", path, json ? { json } : {});
const inspect = (name: string): Promise<Json> => engine.api.json("GET", `/containers/${name}/json`);
const networks = async (): Promise<string[]> => (await engine.api.json("GET", "/networks")).map(({ Name }: Json) => Name).sort();
const connections = async (): Promise<string[]> => Object.keys((await inspect("victim")).NetworkSettings.Networks).sort();
const remove = (path: string): Promise<Json> => engine.api.json("DELETE", path);
const PREDEFINED = ["base", "bridge", "host", "none"];

async function run(name: string, network: string): Promise<void> {
  await post(`/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: network } });
  await post(`/containers/${name}/start`);
}

/** Interfaces of the machine whose names begin so. */
const interfaces = (prefix: string): string[] => engine.machine.run("sh", "-c", "ls /sys/class/net").split("\n").filter((name) => name.startsWith(prefix));
const inside = async (): Promise<string[]> => engine.machine.run("nsenter", `--net=/proc/${(await inspect("victim")).State.Pid}/ns/net`, "sh", "-c", "ip -o link | cut -d: -f2 | cut -d@ -f1").split(/\s+/).filter((name) => name !== "" && name !== "lo");

/** Bridges, the firewall's set of them, and the records are the same networks. */
async function agree(): Promise<void> {
  const made = (await engine.api.json("GET", "/networks")).filter(({ Driver, Name }: Json) => Driver === "bridge" && Name !== "bridge").map(({ Id }: Json) => `br-${Id.slice(0, 12)}`).sort();
  assert.deepEqual(interfaces("br-").sort(), made);
  const set = engine.machine.run("nft", "list", "set", "inet", "gantry-docker0", "bridges");
  assert.deepEqual([...set.matchAll(/"(br-[^"]+)"/g)].map(([, name]) => name).sort(), made);
}

const steps: { point: string; provoke: () => Promise<unknown>; outcome: () => Promise<void> }[] = [
  ...["network-recorded", "network-made"].map((point) => ({
    point,
    provoke: () => post("/networks/create", { Name: "n" }),
    outcome: async () => {
      assert.deepEqual(await networks(), [...PREDEFINED, "n"].sort());
      await remove("/networks/n");
    },
  })),
  {
    point: "network-deleted",
    provoke: async () => {
      await post("/networks/create", { Name: "n" });
      await remove("/networks/n");
    },
    outcome: async () => {
      assert.deepEqual(await networks(), [...PREDEFINED, "n"].sort());
      await remove("/networks/n");
    },
  },
  ...["endpoint-recorded", "endpoint-joined"].map((point) => ({
    point,
    provoke: () => run("victim", "base"),
    outcome: async () => {
      assert.equal((await inspect("victim")).State.Status, "created");
      await post("/containers/victim/start");
    },
  })),
  ...["attach-recorded", "attach-joined"].map((point) => ({
    point,
    provoke: async () => {
      await run("victim", "base");
      await post("/networks/bridge/connect", { Container: "victim" });
    },
    outcome: async () => {
      assert.deepEqual(await connections(), ["base"]);
      assert.deepEqual(await inside(), ["eth0"]);
      await post("/networks/bridge/connect", { Container: "victim" });
      assert.deepEqual(await inside(), ["eth0", "eth1"]);
    },
  })),
  ...["detach-recorded", "detach-left"].map((point) => ({
    point,
    provoke: async () => {
      await run("victim", "base");
      await post("/networks/bridge/connect", { Container: "victim" });
      await post("/networks/bridge/disconnect", { Container: "victim" });
    },
    outcome: async () => {
      assert.deepEqual(await connections(), ["base"]);
      assert.deepEqual(await inside(), ["eth0"]);
    },
  })),
];

for (const { point, provoke, outcome } of steps) {
  test(`kill -9 at ${point}`, async () => {
    await engine.stop();
    await engine.start({ env: { GANTRY_FAULT: point } });
    await assert.rejects(provoke());
    await engine.ended();
    await engine.start();
    await outcome();
    await agree();
    const neighbour = (await inspect("neighbour")).NetworkSettings.Networks.base.IPAddress;
    const { Pid } = (await inspect("neighbour")).State;
    if (point.includes("tach") || point.startsWith("endpoint")) {
      const { IPAddress } = (await inspect("victim")).NetworkSettings.Networks.base;
      assert.notEqual(IPAddress, neighbour);
      engine.machine.run("nsenter", `--net=/proc/${Pid}/ns/net`, "ping", "-n", "-c", "1", "-W", "60", IPAddress);
      await remove("/containers/victim?force=1");
    }
    await until("no interfaces are left", () => engine.machine.run("sh", "-c", "ip -o link show type veth | grep -c 'master br-' || true").trim() === "1");
    assert.deepEqual(await networks(), PREDEFINED);
  });
}
