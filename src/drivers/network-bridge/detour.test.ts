/** Published ports behind the host's own firewall, real ones where the machine has them, in a machine of the test's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortRequest } from "../../core/network-ports.ts";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { OpenNamespace } from "../../sys/netlink/kernel.ts";
import { cannotUnshare, inNamespace, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askDatagrams, askServer, container, dualNetwork, echoServer, hasProgram, hears, machine, options, outside, ufw } from "./bridge.testing.ts";
import type { Machine } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";
import type { BridgeDriverOptions } from "./driver-options.ts";

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);
const at = (hostPort: number, protocol: PortRequest["protocol"] = "tcp"): PortRequest => ({ protocol, port: 8000, hostPorts: { first: hostPort, last: hostPort } });
const range = Array.from({ length: 20 }, (_, index): PortRequest => ({ protocol: "tcp", port: 7990 + index, hostPorts: { first: 7990 + index, last: 7990 + index } }));

interface Firewall {
  name: string;
  missing: string | false;
  /** Lets in nothing but what was asked for, and forwards nothing where it can say so. */
  deny: string;
  /** TCP and UDP at port 8080, also over IPv6, where `from` is absent. */
  allow: (from?: string) => string;
}

const iptables = (program: string, forward: string): Firewall => ({
  name: program,
  missing: hasProgram(program) ? false : `no ${program} here`,
  deny: `${program} -A INPUT -i lo -j ACCEPT; ${program} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; ${program} -P INPUT DROP; ${forward}`,
  allow: (from) => ["tcp", "udp"].map((protocol) => `${program} -A INPUT -p ${protocol} --dport 8080 ${from === undefined ? "" : `-s ${from}`} -j ACCEPT`).join("; "),
});

const ALLOW_UFW = "ufw --force enable; ufw allow 8080";
const FIREWALLS: Firewall[] = [
  iptables("iptables-nft", "iptables-nft -P FORWARD DROP"),
  iptables("iptables-legacy", ""),
  { name: "ufw", missing: hasProgram("ufw") ? false : "no ufw here", deny: ufw("ufw --force enable", "yes"), allow: (from) => ufw(from === undefined ? ALLOW_UFW : `ufw --force enable; ufw allow from ${from} to any port 8080`, "yes") },
  {
    name: "nftables",
    missing: false,
    deny: "nft 'add table inet strict; add chain inet strict in { type filter hook input priority 0; policy drop; }; add rule inet strict in iifname lo accept; add rule inet strict in ct state established,related accept; add rule inet strict in icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; add chain inet strict forward { type filter hook forward priority 0; policy drop; }; add chain inet strict out { type filter hook output priority 0; policy drop; }; add rule inet strict out ct state established accept; add rule inet strict out oifname lo accept; add rule inet strict out ip daddr 10.0.0.0/8 accept; add rule inet strict out icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept'",
    allow: (from) => `nft add rule inet strict in meta l4proto '{ tcp, udp }' th dport 8080 ${from === undefined ? "" : `ip saddr ${from}`} accept`,
  },
];

interface Scene extends AsyncDisposable {
  bench: Machine;
  next: OpenNamespace;
  /** From outside at port 8080: TCP, UDP and TCP over IPv6. */
  answers(): string[];
}

const red = dualNetwork("red0", 81);

async function scene(overrides: Partial<BridgeDriverOptions> = {}): Promise<Scene> {
  const bench = await machine({ firewall: "honour-host", ...overrides });
  const { host, driver } = bench;
  const next = await outside(host);
  inNamespace(host, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.uplink.rp_filter=1");
  await driver.createNetwork(red);
  const inside = await container(driver, red, "10.81.0.2", [at(8080), at(8080, "udp"), at(8081), ...range]);
  const server = await echoServer(inside.sandbox);
  return {
    bench,
    next,
    answers: () => [askServer(next, "192.0.2.1", 8080), askDatagrams(next, "192.0.2.1", 8080), askServer(next, "2001:db8::1", 8080)],
    [Symbol.asyncDispose]: async () => {
      server[Symbol.dispose]();
      inside.sandbox.close();
      next.close();
      await bench[Symbol.asyncDispose]();
    },
  };
}

const OPEN = ["192.0.2.2", "192.0.2.2", "2001:db8::2"];

for (const { name, missing, deny, allow } of FIREWALLS) {
  test(`${name}: closed until it says otherwise, then open for whom it names, who is seen as himself`, { skip: cannotUnshare || missing }, async () => {
    await using honoured = await scene({ firewall: "docker" });
    const { host, driver } = honoured.bench;
    inNamespace(host, deny);
    await eventually(() => assert.deepEqual(honoured.answers(), OPEN, "positive control: docker's mode does not ask it"));
    await driver.setFirewall("honour-host");
    assert.notEqual(askServer(honoured.next, "192.0.2.1", 8080), OPEN[0], "closed");
    if (name === "nftables") for (const [index, answer] of honoured.answers().entries()) assert.notEqual(answer, OPEN[index], "closed");
    inNamespace(host, allow("192.0.2.99"));
    assert.notEqual(askServer(honoured.next, "192.0.2.1", 8080), OPEN[0], "for somebody else");
    inNamespace(host, allow());
    await eventually(() => assert.deepEqual(honoured.answers(), OPEN));
    assert.notEqual(askServer(honoured.next, "192.0.2.1", 8081), OPEN[0], "another port stays closed");
    await hears(host, "127.0.0.1", "10.81.0.1", "the host itself needs no permission", 8081);
  });
}

real("without a firewall all ways to a port are as in docker's mode; long transfers take the direct way", async () => {
  await using open = await scene();
  const { host, driver } = open.bench;
  const sibling = await container(driver, red, "10.81.0.3");
  await hears(sibling.sandbox, "10.81.0.1", "10.81.0.1", "the same network", 8080);
  await hears(sibling.sandbox, "192.0.2.1", "10.81.0.1", "", 8080);
  await hears(host, "192.0.2.1", "192.0.2.1", "the host by its own address", 8080);
  await hears(host, "2001:db8::1", "2001:db8::1", "", 8080);
  await hears(open.next, "192.0.2.1", "192.0.2.2", "one of a range", 8000);
  await eventually(() => assert.match(askServer(open.next, "192.0.2.1", 8090), /ECONNREFUSED/, "a port that nobody publishes"));
  const crossed = (): number => Number(inNamespace(host, "cat /proc/net/dev").split("\n").find((line) => line.includes("gty-7e57-in"))?.trim().split(/\s+/)[2]);
  // A connection has five or more in each direction; a busy machine repeats its first, and interfaces have some of their own.
  await eventually(() => {
    const before = crossed();
    assert.deepEqual(open.answers(), OPEN);
    const packets = crossed() - before;
    assert.ok(packets >= 3 && packets <= 8, `one packet each of three connections, not ${packets}`);
  });
  sibling.sandbox.close();
});

real("it is healed when its interfaces or its tables go, stays while the daemon is away, and goes with the mode and the last network", async () => {
  const repairs: string[] = [];
  await using honoured = await scene({ repaired: (what) => repairs.push(what), tableOwner: false });
  const { host, kernel, driver } = honoured.bench;
  const links = (): string => runInNamespace(host, "ip -o link | grep -o gty-7e57-[a-z]*").stdout.trim().split("\n").sort().join(" ");
  for (const damage of ["ip link del gty-7e57-in", "nft delete table ip gantry-test0-detour", "nft flush ruleset"]) {
    repairs.length = 0;
    inNamespace(host, damage);
    await until(`a repair after ${damage}`, () => repairs.some((what) => what.startsWith("detour")));
    await eventually(() => assert.deepEqual(honoured.answers(), OPEN, damage));
  }
  await driver.setFirewall("docker");
  assert.equal(links(), "");
  await eventually(() => assert.deepEqual(honoured.answers(), OPEN));
  await driver.setFirewall("honour-host");
  const index = (await kernel.link("gty-7e57-in"))!.index;
  await eventually(() => assert.deepEqual(honoured.answers(), OPEN));
  await driver.close();
  await eventually(() => assert.deepEqual(honoured.answers(), OPEN, "while the daemon is away"));
  const later = openNetworkKernel(host.fd);
  const next = createBridgeDriver({ ...options(later, honoured.bench.warnings), firewall: "honour-host", tableOwner: false });
  await next.createNetwork(red);
  assert.equal((await later.link("gty-7e57-in"))!.index, index, "taken up, not made again");
  await next.deleteNetwork(red.id);
  assert.equal(links(), "");
  assert.doesNotMatch(inNamespace(host, "nft list tables"), /gantry/);
  await next.close();
  later.close();
});
