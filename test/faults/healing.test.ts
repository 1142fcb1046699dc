/** What another program takes away of networks comes back, and is told of: interfaces, bridges, addresses, sysctls. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { endEngine, startedEngine } from "../harness/engine.ts";
import type { Engine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
  await engine.api.json("POST", "/networks/create", { json: { Name: "front", Options: { "com.docker.network.bridge.name": "br-front" }, EnableIPv6: true } });
  await run("server", { PortBindings: { "80/tcp": [{ HostPort: "21980" }] } }, ["httpd", "-f", "-p", "80", "-h", "/etc"]);
  await run("client", {}, ["sleep", "1000"]);
  await run("limited", { Egress: ["allow=server:80"] }, ["sleep", "1000"]);
});
after(async () => endEngine(engine));

async function run(name: string, hostConfig: object, command: string[]): Promise<void> {
  await engine.api.json("POST", "/containers/create", { query: { name }, json: { Image: "busybox", Cmd: command, HostConfig: { NetworkMode: "front", ...hostConfig } } });
  await engine.api.json("POST", `/containers/${name}/start`);
}

const host = (script: string): string => engine.machine.run("sh", "-ec", script).trim();
const inspect = (name: string): Promise<Json> => engine.api.json("GET", `/containers/${name}/json`);
const inside = async (name: string, script: string): Promise<string> => host(`nsenter --net=/proc/${(await inspect(name)).State.Pid}/ns/net sh -c '${script}'`);
/** The host's end of the server's interface. */
const portOf = async (name: string): Promise<string> => host(`ip -o link | sed -n "s/^$(nsenter --net=/proc/${(await inspect(name)).State.Pid}/ns/net ip -o link show eth0 | sed "s/.*@if\\([0-9]*\\):.*/\\1/"): \\([^@]*\\)@.*/\\1/p"`);
const sysctl = (name: string, value: string): string => host(`echo ${value} >/proc/sys/${name}`);

async function repairs(since: number): Promise<string[]> {
  const { body } = await engine.api.send("GET", "/events", { query: { since, until: Date.now() / 1000, filters: JSON.stringify({ type: ["daemon"], event: ["repair"] }) } });
  return body.toString().split("\n").filter((line) => line !== "").map((line): string => JSON.parse(line).Actor.Attributes.name);
}

const GET = `Promise.all(process.argv.slice(1).map((address) => fetch("http://" + address + "/hostname", { signal: AbortSignal.timeout(5000) }).then((answer) => answer.text()))).catch((error) => process.exit(console.error(error) ?? 1))`;

/** "": everything works: a sibling by both addresses and the gateway's published port, the host by its own. */
async function failure(): Promise<string> {
  try {
    const [client, { IPAddress, GlobalIPv6Address, Gateway }] = [await inspect("client"), (await inspect("server")).NetworkSettings.Networks.front];
    engine.machine.run("nsenter", `--net=/proc/${client.State.Pid}/ns/net`, process.execPath, "-e", GET, IPAddress, `[${GlobalIPv6Address}]`, `${Gateway}:21980`);
    engine.machine.run(process.execPath, "-e", GET, "127.0.0.1:21980");
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

const settings = async (): Promise<string> => inside("server", "ip -o addr show eth0 | grep -v inet6.fe80: | sed s/^[0-9]*//; ip link show eth0 | tail -n 1; ip route | sort; ip -6 route | grep -v ^fe80: | sort");

const damages: { name: string; damage: () => Promise<unknown>; told: RegExp }[] = [
  { name: "a container's interface, from the host", damage: async () => host(`ip link delete ${await portOf("server")}`), told: /^interface eth0 of container server$/ },
  { name: "a container's interface, from inside", damage: () => inside("server", "ip link delete eth0"), told: /^interface eth0 of container server$/ },
  { name: "a port taken from its bridge", damage: async () => host(`ip link set ${await portOf("server")} nomaster`), told: /^interface veth/ },
  { name: "a port that is switched off", damage: async () => host(`ip link set ${await portOf("client")} down`), told: /^interface veth/ },
  { name: "a bridge that is switched off", damage: async () => host("ip link set br-front down"), told: /^bridge br-front$/ },
  { name: "a bridge that is deleted", damage: async () => host("ip link delete br-front"), told: /^bridge br-front$/ },
  { name: "addresses of a bridge", damage: async () => host("ip addr flush dev br-front"), told: /^bridge br-front$/ },
  { name: "net.ipv4.ip_forward", damage: async () => sysctl("net/ipv4/ip_forward", "0"), told: /^sysctl net\.ipv4\.ip_forward$/ },
  { name: "net.ipv6.conf.all.forwarding", damage: async () => sysctl("net/ipv6/conf/all/forwarding", "0"), told: /^sysctl net\.ipv6\.conf\.all\.forwarding$/ },
  { name: "forwarding of a bridge", damage: async () => sysctl("net/ipv4/conf/br-front/forwarding", "0"), told: /^sysctl net\.ipv4\.conf\.br-front\.forwarding$/ },
  { name: "route_localnet of a bridge", damage: async () => sysctl("net/ipv4/conf/br-front/route_localnet", "0"), told: /^sysctl net\.ipv4\.conf\.br-front\.route_localnet$/ },
  { name: "what egress rules need of the kernel", damage: async () => sysctl("net/bridge/bridge-nf-call-iptables", "0"), told: /^sysctl net\.bridge\.bridge-nf-call-iptables$/ },
  {
    name: "a container's interface while the daemon is away",
    damage: async () => {
      const port = await portOf("server");
      await engine.kill();
      host(`ip link delete ${port}`);
      await engine.start();
    },
    told: /^interface eth0 of container server$/,
  },
];

test("everything that is taken away comes back, with an event", async (t) => {
  await eventually(async () => assert.equal(await failure(), ""));
  const whole = await settings();
  for (const { name, damage, told } of damages) {
    const began = Date.now();
    await damage();
    let [seen, count] = [0, 0];
    await eventually(async () => {
      const events = await repairs(began / 1000);
      assert.ok(events.some((event) => told.test(event)), `${name}: no event; ${events.join(", ")}\n${engine.log().slice(-2000)}`);
      seen ||= Date.now() - began;
      count = events.length;
      assert.equal(await failure(), "", name);
      assert.equal(await settings(), whole, name);
    });
    t.diagnostic(`${name}: ${seen} ms to the event, ${count} events`);
  }
});
