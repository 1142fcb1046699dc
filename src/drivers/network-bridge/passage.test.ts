/** Containers beside other programs' firewalls, real ones where the machine has them, in a machine of the test's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../lib/eventually.testing.ts";
import { cannotUnshare, inNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askServer, container, echoServer, hasProgram as has, machine, network, options, outside, ufw } from "./bridge.testing.ts";
import type { Machine } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";
import type { BridgeDriverOptions } from "./driver-options.ts";

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);


interface Firewall {
  name: string;
  missing: string | false;
  /** Denies what is forwarded. */
  deny: string;
  /** Makes its rules anew. */
  reload: string;
  /** Of what is listed. */
  list: string;
}

const IPTABLES = "*filter\\n:INPUT ACCEPT [0:0]\\n:FORWARD DROP [0:0]\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n";
const FIREWALLS: Firewall[] = [
  { name: "iptables with policy DROP", missing: has("iptables-nft") ? false : "no iptables-nft here", deny: "iptables-nft -P FORWARD DROP", reload: `printf '${IPTABLES}' | iptables-nft-restore`, list: "iptables-nft -S FORWARD" },
  { name: "iptables with a last rule that rejects", missing: has("iptables-nft") ? false : "no iptables-nft here", deny: "iptables-nft -A FORWARD -j REJECT", reload: "iptables-nft -F FORWARD; iptables-nft -A FORWARD -j REJECT", list: "iptables-nft -S FORWARD" },
  { name: "ufw", missing: has("ufw") ? false : "no ufw here", deny: ufw("ufw --force enable"), reload: ufw("ufw --force enable; ufw reload"), list: "iptables -S FORWARD" },
  {
    name: "nftables",
    missing: false,
    deny: "nft add table inet strict; nft add chain inet strict forward '{ type filter hook forward priority 0; policy drop; }'",
    reload: "nft flush ruleset; nft add table inet strict; nft add chain inet strict forward '{ type filter hook forward priority 0; policy drop; }'",
    list: "nft list chain inet strict forward",
  },
];

interface Scene extends AsyncDisposable {
  bench: Machine;
  /** What a container's request to the outside, and the outside's to a published port, are answered with. */
  connected(): string[];
}

async function scene(overrides: Partial<BridgeDriverOptions>, deny: string): Promise<Scene> {
  const bench = await machine(overrides);
  const next = await outside(bench.host);
  inNamespace(bench.host, deny);
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const inside = await container(bench.driver, red, "10.81.0.2", [{ protocol: "tcp", port: 8000, hostPorts: { first: 8080, last: 8080 } }]);
  const servers = [await echoServer(next), await echoServer(inside.sandbox)];
  return {
    bench,
    connected: () => [askServer(inside.sandbox, "192.0.2.2"), askServer(next, "192.0.2.1", 8080)],
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) server[Symbol.dispose]();
      inside.sandbox.close();
      next.close();
      await bench[Symbol.asyncDispose]();
    },
  };
}

const OPEN = ["192.0.2.1", "192.0.2.2"];

for (const { name, missing, deny, reload, list } of FIREWALLS) {
  test(`${name}: containers stay connected, with one rule that is healed; untouched where only the own table may be`, { skip: cannotUnshare || missing }, async () => {
    const repairs: string[] = [];
    {
      await using strict = await scene({ firewall: "own-table" }, deny);
      const before = inNamespace(strict.bench.host, list);
      assert.doesNotMatch(before, /0x10000000/);
      for (const answer of strict.connected()) assert.ok(!OPEN.includes(answer), `positive control: ${answer}`);
      assert.match(strict.bench.warnings.join("\n"), /forwarded packets are dropped there .* red0/);
    }
    await using open = await scene({ firewall: "docker", repaired: (what) => repairs.push(what) }, deny);
    const { host } = open.bench;
    assert.match(inNamespace(host, list), /0x10000000/);
    await eventually(() => assert.deepEqual(open.connected(), OPEN));
    inNamespace(host, reload);
    await eventually(() => assert.match(repairs.join(), /passage through chain/));
    await eventually(() => assert.deepEqual(open.connected(), OPEN));
    assert.equal(inNamespace(host, list).match(/0x10000000.*(ACCEPT|accept)/g)?.length, 1, "one rule");
  });
}

real("what containers may not do, no passage lets them", async () => {
  await using bench = await machine({ firewall: "docker" });
  using next = await outside(bench.host);
  inNamespace(bench.host, "nft add table inet strict; nft add chain inet strict forward '{ type filter hook forward priority 0; policy drop; }'");
  const [red, blue] = [network("red0", 81), network("blue0", 82)];
  await bench.driver.createNetwork(red);
  await bench.driver.createNetwork(blue);
  const [a, b] = [await container(bench.driver, red, "10.81.0.2"), await container(bench.driver, blue, "10.82.0.2")];
  using _server = await echoServer(b.sandbox);
  inNamespace(next, "ip route add 10.0.0.0/8 via 192.0.2.1");
  assert.equal(askServer(a.sandbox, "10.82.0.2"), "timeout", "another network");
  assert.equal(askServer(next, "10.82.0.2"), "timeout", "from outside");
  assert.match(inNamespace(bench.host, "nft list chain inet strict forward"), /counter packets 0 bytes 0 accept/, "nothing passed");
  for (const { sandbox } of [a, b]) sandbox.close();
});

real("chains of IPv6 are opened too; those of other hooks and those that drop nothing are left alone", async () => {
  await using bench = await machine({ firewall: "docker" });
  const chain = (family: string, name: string, hook: string, policy: string): string => `nft add chain ${family} strict ${name} '{ type filter hook ${hook} priority 0; policy ${policy}; }'`;
  inNamespace(bench.host, ["ip6", "inet"].map((family) => `nft add table ${family} strict`).join("; "));
  inNamespace(bench.host, [chain("ip6", "six", "forward", "drop"), chain("inet", "entry", "input", "drop"), chain("inet", "calm", "forward", "accept")].join("; "));
  await bench.driver.createNetwork(network("red0", 81));
  assert.match(inNamespace(bench.host, "nft list chain ip6 strict six"), /0x10000000/);
  for (const name of ["entry", "calm"]) assert.doesNotMatch(inNamespace(bench.host, `nft list chain inet strict ${name}`), /0x10000000/, name);
});

real("the rule goes where only the own table may be touched", async () => {
  await using bench = await machine({ firewall: "docker" });
  inNamespace(bench.host, "nft add table inet strict; nft add chain inet strict forward '{ type filter hook forward priority 0; policy drop; }'");
  await bench.driver.createNetwork(network("red0", 81));
  assert.match(inNamespace(bench.host, "nft list chain inet strict forward"), /0x10000000/);
  await bench.driver.close();
  const later = createBridgeDriver({ ...options(bench.kernel, []), firewall: "own-table" });
  await later.createNetwork(network("red0", 81));
  assert.doesNotMatch(inNamespace(bench.host, "nft list chain inet strict forward"), /0x10000000/);
  await later.close();
});
