/** Containers with every capability that pretend to be others: each attack works where nobody guards, as a positive control, and fails where the driver does. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxNamespace } from "../../core/network.ts";
import { until } from "../../lib/eventually.testing.ts";
import { parseIp } from "../../lib/ip.ts";
import { cannotUnshare, inNamespace, reaches, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { container, machine, network, options } from "./bridge.testing.ts";
import type { Machine } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";
import { EVERYBODY, arpQuestion, echoRequest, routerAdvertisement, sendFrames } from "./guard.testing.ts";

interface Scene {
  bench: Machine;
  attacker: SandboxNamespace;
  victim: SandboxNamespace;
}

const ATTACKER = "02:42:0a:51:00:02";
const VICTIM = "02:42:0a:51:00:03";
const gatewayMac = ({ bench }: Scene): string => /link\/ether (\S+)/.exec(inNamespace(bench.host, "ip link show red0"))![1]!;
const echoesOf = (netns: SandboxNamespace): number => Number(/^Icmp: \d+.*$/m.exec(inNamespace(netns, "cat /proc/net/snmp"))![0].split(" ")[10]);

/** Whether the attack worked. */
const ATTACKS: Record<string, (scene: Scene) => Promise<boolean>> = {
  "takes the gateway's address by ARP": async (scene) => {
    // The kernel believes no second answer within a second.
    await sleep(1200);
    sendFrames(scene.attacker, arpQuestion(ATTACKER, "10.81.0.1", "10.81.0.3"));
    await sleep(100);
    return inNamespace(scene.victim, "ip neigh show 10.81.0.1").includes(ATTACKER);
  },
  "sends packets as another": async (scene) => {
    const before = echoesOf(scene.victim);
    sendFrames(scene.attacker, echoRequest({ from: ATTACKER, to: gatewayMac(scene), source: "10.81.0.3", destination: "10.81.0.1" }));
    await sleep(100);
    return echoesOf(scene.victim) > before;
  },
  "draws another's frames to itself": async ({ bench, attacker }) => {
    const at = (): string | undefined => new RegExp(`^${VICTIM} dev (\\S+) master`, "m").exec(inNamespace(bench.host, "bridge fdb show br red0"))?.[1];
    const before = at();
    // The victim's next frame draws them back.
    for (let tries = 0; tries < 5; tries++) {
      sendFrames(attacker, echoRequest({ from: VICTIM, to: EVERYBODY, source: "10.81.0.2", destination: "10.81.0.1" }));
      if (at() !== before) return true;
    }
    return false;
  },
  "is a router for IPv6": async ({ attacker, victim }) => {
    sendFrames(attacker, routerAdvertisement(ATTACKER, "fe80::bad", "2001:db8:bad::"));
    await sleep(200);
    return inNamespace(victim, "ip -6 addr show dev eth0").includes("2001:db8:bad:");
  },
};

const PYTHON = spawnSync("python3", ["--version"]).status === 0;
const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare || (PYTHON ? false : "python3 sends the frames, and there is none") }, run);

async function scene(guard: boolean, attack: (scene: Scene) => Promise<void>): Promise<void> {
  await using bench = await machine({ guard });
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const [one, other] = [await container(bench.driver, red, "10.81.0.2"), await container(bench.driver, red, "10.81.0.3")];
  // A victim that listens to routers, as programs with IPv6 of their own do.
  inNamespace(other.sandbox, "sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=2");
  await reaches(other.sandbox, "10.81.0.1", "by what is honest");
  await reaches(one.sandbox, "10.81.0.3", "by what is honest");
  await attack({ bench, attacker: one.sandbox, victim: other.sandbox });
  await reaches(one.sandbox, "10.81.0.1", "and goes on to");
  for (const { sandbox } of [one, other]) sandbox.close();
}

/** Within a few tries: on a busy machine the kernel's and the attack's times may miss each other. */
async function works(attack: (scene: Scene) => Promise<boolean>, given: Scene): Promise<boolean> {
  for (let tries = 0; tries < 10; tries++) if (await attack(given)) return true;
  return false;
}

for (const [name, attack] of Object.entries(ATTACKS)) {
  real(`not guarded, the positive control: a container ${name}`, () => scene(false, async (given) => assert.ok(await works(attack, given))));
  real(`guarded: no container ${name}`, () => scene(true, async (given) => assert.ok(!(await attack(given)))));
}

real("ports stay guarded over daemons and a loss of the table; a port that is gone leaves nothing; networks and privileged containers may be spared", async () => {
  await using bench = await machine({ tableOwner: false });
  const red = network("red0", 81);
  const free = { ...network("free0", 82), options: { "com.docker.network.bridge.name": "free0", "gantry.bridge.guard": "false" } };
  await bench.driver.createNetwork(red);
  await bench.driver.createNetwork(free);
  const [stays, goes, spared] = [await container(bench.driver, red, "10.81.0.2"), await container(bench.driver, red, "10.81.0.3"), await container(bench.driver, free, "10.82.0.2")];
  const shown = (): string => runInNamespace(bench.host, "nft list table bridge gantry-test0-guard").stdout;
  assert.deepEqual([shown().includes("10.81.0.2"), shown().includes("10.81.0.3"), shown().includes("10.82.0.2")], [true, true, false]);
  assert.ok(!shown().includes("chain between"), "what is for icc=false costs others nothing");
  // As a daemon leaves the table that knows no such set.
  inNamespace(bench.host, "nft flush set bridge gantry-test0-guard own");
  await bench.driver.close();
  const next = createBridgeDriver({ ...options(bench.kernel, []), tableOwner: false });
  await next.createNetwork(red);
  await next.recover([stays.request]);
  assert.deepEqual([shown().includes("10.81.0.2"), shown().includes("10.81.0.3")], [true, false]);
  assert.match(shown(), /set own \{[^}]*02:42:0a:51:00:02 \. 10\.81\.0\.2 \}/);
  const trusted = await container(next, red, "10.81.0.4");
  inNamespace(bench.host, "nft flush ruleset");
  await until("both are guarded again", () => shown().includes("10.81.0.2") && shown().includes("10.81.0.4"));
  for (const { sandbox } of [stays, goes, spared, trusted]) sandbox.close();
  await next.leave(trusted.request);
  assert.ok(!shown().includes("10.81.0.4"));
  const apart = { ...network("apart0", 83), options: { "com.docker.network.bridge.name": "apart0", "com.docker.network.bridge.enable_icc": "false" } };
  await next.createNetwork(apart);
  const alone = await container(next, apart, "10.83.0.2");
  assert.ok(shown().includes("chain between"));
  alone.sandbox.close();
  await next.leave(alone.request);
  await next.deleteNetwork(apart.id);
  await next.deleteNetwork(red.id);
  assert.equal(shown(), "");
  await next.close();
});

real("what a container has in another network it may answer with, as long as it has it", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const { sandbox, request } = await container(bench.driver, red, "10.81.0.2");
  inNamespace(sandbox, "ip addr add 10.99.0.9/32 dev lo");
  inNamespace(bench.host, "ip route add 10.99.0.9 dev red0");
  const speaks = (): boolean => runInNamespace(sandbox, "ping -n -c 1 -W 1 -I 10.99.0.9 10.81.0.1").status === 0;
  const own = request.addresses.map(({ address }) => address);
  assert.ok(!speaks());
  await bench.driver.believe(request, [...own, parseIp("10.99.0.9")!]);
  await until("it speaks", speaks);
  await reaches(sandbox, "10.81.0.1");
  await bench.driver.believe(request, own);
  assert.ok(!speaks());
  sandbox.close();
});
