/** Containers on the default networks, through the API and from inside. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../src/lib/eventually.testing.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));

interface Inspected {
  Id: string;
  State: { Pid: number; Running: boolean };
  HostsPath: string;
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string; MacAddress: string; IPPrefixLen: number; NetworkID: string; EndpointID: string }> };
}

const inspect = (id: string): Promise<Inspected> => engine.api.json("GET", `/containers/${id}/json`);

async function create(name: string, body: object): Promise<string> {
  const { Id } = await engine.api.json("POST", "/containers/create", { query: { name }, json: { Image: "busybox", ...body } });
  return Id as string;
}

async function started(name: string, body: object = {}): Promise<Inspected> {
  const id = await create(name, { Cmd: ["sleep", "1000"], ...body });
  await engine.api.json("POST", `/containers/${id}/start`);
  return inspect(id);
}

/** What a command prints that runs as a container. */
async function output(name: string, command: string, body: object = {}): Promise<string> {
  const id = await create(name, { Cmd: ["sh", "-c", command], Tty: true, ...body });
  await engine.api.json("POST", `/containers/${id}/start`);
  await engine.api.json("POST", `/containers/${id}/wait`);
  const { body: log } = await engine.api.send("GET", `/containers/${id}/logs`, { query: { stdout: true, stderr: true } });
  await engine.api.json("DELETE", `/containers/${id}`);
  return log.toString().replaceAll("\r", "");
}

const remove = (id: string): Promise<unknown> => engine.api.json("DELETE", `/containers/${id}`, { query: { force: true } });
const addressOf = (container: Inspected): string => container.NetworkSettings.Networks["bridge"]!.IPAddress;
/** In a container's network, with the machine's own programs. */
const inNetworkOf = ({ State }: Inspected, ...argv: string[]): string => engine.machine.run("nsenter", `--net=/proc/${State.Pid}/ns/net`, ...argv);

function reaches(from: Inspected, address: string): boolean {
  try {
    inNetworkOf(from, "ping", "-n", "-c", "1", "-W", "60", address);
    return true;
  } catch {
    return false;
  }
}

test("bridge: inspect, the network's view and the kernel agree; containers reach each other", async () => {
  const [a, b] = [await started("net-a"), await started("net-b")];
  const settings = a.NetworkSettings.Networks["bridge"]!;
  const network = await engine.api.json("GET", "/networks/bridge");
  assert.equal(settings.NetworkID, network.Id);
  assert.equal(settings.Gateway, network.IPAM.Config[0].Gateway);
  assert.deepEqual(network.Containers[a.Id], { Name: "net-a", EndpointID: settings.EndpointID, MacAddress: settings.MacAddress, IPv4Address: `${settings.IPAddress}/${settings.IPPrefixLen}`, IPv6Address: "" });
  assert.match(inNetworkOf(a, "ip", "-o", "addr", "show", "eth0"), new RegExp(` inet ${settings.IPAddress}/16 `));
  assert.match(inNetworkOf(a, "ip", "link", "show", "eth0"), new RegExp(settings.MacAddress));
  assert.ok(reaches(a, addressOf(b)));
  assert.ok(reaches(a, settings.Gateway));
  await remove(a.Id);
  await remove(b.Id);
  assert.deepEqual((await engine.api.json("GET", "/networks/bridge")).Containers, {});
});

test("none has loopback only; host has the machine's; container:ID has another's", async () => {
  assert.equal(await output("net-none", "ls /sys/class/net", { HostConfig: { NetworkMode: "none" } }), "lo\n");
  assert.match(await output("net-host", "ls /sys/class/net", { HostConfig: { NetworkMode: "host" } }), /docker0|gantry0/);
  const base = await started("net-base", { Hostname: "base-name" });
  const shared = await output("net-shared", "ip -o addr show eth0; cat /etc/hostname", { HostConfig: { NetworkMode: "container:net-base" } });
  assert.match(shared, new RegExp(`inet ${addressOf(base)}/16[^]*base-name\n$`));
  await remove(base.Id);
});

test("hosts, hostname and resolv.conf inside; a change of resolv.conf survives a restart", async () => {
  const files = await output("net-files", "tail -2 /etc/hosts; cat /etc/hostname; grep -v '^#' /etc/resolv.conf", { Hostname: "hh", Domainname: "dd.test", HostConfig: { ExtraHosts: ["x:10.1.1.1"], Dns: ["10.9.9.9"] } });
  assert.match(files, /^10\.1\.1\.1\tx\n[\d.]+\thh\.dd\.test hh\nhh\n\nnameserver 10\.9\.9\.9\n/);
  const container = await started("net-resolv", { Cmd: ["sh", "-c", "[ -e /changed ] || { echo nameserver 192.0.2.1 > /etc/resolv.conf; touch /changed; }; exec sleep 1000"] });
  await until("the change", async () => (await engine.api.send("HEAD", `/containers/${container.Id}/archive?path=/changed`)).status === 200);
  await engine.api.json("POST", `/containers/${container.Id}/restart`, { query: { t: 0 } });
  const exec = await engine.api.json("POST", `/containers/${container.Id}/exec`, { json: { Cmd: ["cat", "/etc/resolv.conf"], AttachStdout: true, Tty: true } });
  const { body } = await engine.api.send("POST", `/exec/${exec.Id}/start`, { json: { Tty: true } });
  assert.equal(body.toString().trim(), "nameserver 192.0.2.1");
  await remove(container.Id);
});

test("addresses come back after removal", async () => {
  const seen = new Set<string>();
  for (let tries = 0; ; tries++) {
    const next = await started(`net-next${tries}`);
    await remove(next.Id);
    if (seen.has(addressOf(next))) break;
    seen.add(addressOf(next));
    assert.ok(tries < 100, `none is used again: ${[...seen].join(", ")}`);
    await delay(300);
  }
});

describe("refusals", () => {
  const refused = async (method: string, path: string, json?: object): Promise<string> => {
    const { status, body } = await engine.api.send(method, path, json ? { json } : {});
    return `${status} ${JSON.parse(body.toString()).message}`;
  };
  test("predefined networks stay", async () => {
    assert.equal(await refused("DELETE", "/networks/bridge"), "403 bridge is a pre-defined network and cannot be removed");
    assert.equal(await refused("DELETE", "/networks/mine"), "404 network mine not found");
  });
  test("a container in a network that is not there fails at its start", async () => {
    const id = await create("net-lost", { Cmd: ["true"], HostConfig: { NetworkMode: "mine" } });
    assert.match(await refused("POST", `/containers/${id}/start`), /^404 .*network mine not found/);
    await remove(id);
  });
});

test("kill -9 of the daemon: traffic goes on, addresses stay taken, what ended meanwhile is given back", async () => {
  const [a, b, c] = [await started("net-ka"), await started("net-kb"), await started("net-kc")];
  await engine.kill();
  assert.ok(reaches(a, addressOf(b)), "while no daemon runs");
  engine.machine.run("kill", "-9", String(c.State.Pid));
  await engine.start();
  assert.ok(reaches(a, addressOf(b)), "with the next one");
  assert.equal(addressOf(await inspect(a.Id)), addressOf(a));
  const next = await started("net-kd");
  assert.ok(![addressOf(a), addressOf(b)].includes(addressOf(next)));
  assert.ok(reaches(next, addressOf(a)));
  for (const { Id } of [a, b, c, next]) await remove(Id);
});
