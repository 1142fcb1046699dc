/** Networks with more containers than a bridge has ports, against the kernel: with few ports a bridge. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortRequest } from "../../core/network-ports.ts";
import type { NetworkSpec } from "../../core/network.ts";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { canReach, cannotUnshare, inNamespace, reaches, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askDatagrams, askServer, container, dualNetwork, echoServer, hears, machine, network, options, outside } from "./bridge.testing.ts";
import type { Machine } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";

/** Two containers at the network's own bridge, three at each of two annexes. */
const portLimits = { most: 4, kept: 2 };
const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);
const port = (hostPort: number, protocol: "tcp" | "udp" = "tcp"): PortRequest => ({ protocol, port: 8000, hostPorts: { first: hostPort, last: hostPort } });
type Joined = Awaited<ReturnType<typeof container>>;

const fill = async ({ driver }: Pick<Machine, "driver">, spec: NetworkSpec, subnet: number, count: number, from = 2): Promise<Joined[]> => {
  const all: Joined[] = [];
  for (let number = from; number < from + count; number++) all.push(await container(driver, spec, `10.${subnet}.0.${number}`));
  return all;
};
const end = async ({ driver }: Pick<Machine, "driver">, joined: readonly Joined[]): Promise<void> => {
  for (const { sandbox } of joined) sandbox.close();
  await Promise.all(joined.map(({ request }) => driver.leave(request)));
};
const links = (host: { readonly fd: number }, of = ""): string[] => [...inNamespace(host, `ip -o link show ${of}`).matchAll(/^\d+: ((?:g[blu]|veth)7e57\w*)/gm)].map(([, name]) => name!);
const macOf = (host: { readonly fd: number }, name: string): string => /ether (\S+)/.exec(inNamespace(host, `ip -o link show ${name}`))![1]!;
const annexes = (host: { readonly fd: number }): string[] => links(host).filter((name) => name.startsWith("gb"));

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call=${filtered}: containers of all bridges of a network are as those of one`, async () => {
    await using bench = await machine({ portLimits });
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered} net.bridge.bridge-nf-call-ip6tables=${filtered}`);
    const [red, blue] = [dualNetwork("red0", 81), network("blue0", 82)];
    await driver.createNetwork(red);
    await driver.createNetwork(blue);
    using next = await outside(host);
    const [a, b] = await fill(bench, red, 81, 2);
    assert.deepEqual(annexes(host), []);
    const c = await container(driver, red, "10.81.0.4", [port(8081), port(8082, "udp")]);
    const [d, e, f] = await fill(bench, red, 81, 3, 5);
    const other = await container(driver, blue, "10.82.0.2");
    assert.equal(annexes(host).length, 2);
    assert.deepEqual([driver.furtherBridges(red.id), driver.furtherBridges(blue.id)], [annexes(host).sort(), []]);
    using _inside = await echoServer(c.sandbox);
    using _own = await echoServer(a!.sandbox);
    using _outer = await echoServer(next);
    for (const [{ sandbox }, own] of [[b!, "10.81.0.3"], [d!, "10.81.0.5"], [f!, "10.81.0.7"]] as const) await hears(sandbox, "10.81.0.4", own, "each sees the other's address");
    for (const [{ sandbox }, own] of [[d!, "10.81.0.5"], [e!, "10.81.0.6"], [f!, "10.81.0.7"]] as const) await hears(sandbox, "10.81.0.2", own, "and at the first bridge");
    await reaches(f!.sandbox, "fd00:81::4", "by IPv6, across all three");
    await reaches(host, "10.81.0.4", "from the host");
    await reaches(d!.sandbox, "10.81.0.1", "the gateway");
    await hears(d!.sandbox, "192.0.2.2", "192.0.2.1", "outside, with the host's address");
    await hears(next, "192.0.2.1", "192.0.2.2", "published, the client's own address", 8081);
    await hears(host, "127.0.0.1", "10.81.0.1", "published, from the host", 8081);
    for (const { sandbox } of [a!, d!, f!, c]) await hears(sandbox, "10.81.0.1", "10.81.0.1", "published, by the gateway's address", 8081);
    await eventually(() => assert.equal(askDatagrams(d!.sandbox, "10.81.0.1", 8082), "10.81.0.1", "datagrams, too"));
    await hears(d!.sandbox, "10.81.0.4", "10.81.0.5", "and the bridges still know where everybody is");
    assert.ok(!canReach(other.sandbox, "10.81.0.4"), "another network does not");
    assert.ok(!canReach(c.sandbox, "10.82.0.2"), "nor is it reached");
    const gateway = macOf(host, "red0");
    for (const { sandbox } of [a!, d!, f!]) assert.match(inNamespace(sandbox, "ip neigh show 10.81.0.1"), new RegExp(gateway), "nobody else says that it is the gateway");
    const heard = runInNamespace(d!.sandbox, "arping -c 2 -w 2 -I eth0 -D 10.81.0.5 || true; arping -c 2 -w 2 -I eth0 10.81.0.4").stdout;
    assert.doesNotMatch(heard, /10\.81\.0\.5.*reply/i, "nobody hears itself");
    await end(bench, [c, d!, e!, f!]);
    assert.deepEqual(annexes(host), [], "empty ones go");
    await end(bench, [a!, b!, other]);
    assert.deepEqual(links(host), []);
    assert.deepEqual(bench.warnings, []);
  });
}

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call=${filtered}: without inter-container communication no two of them reach each other; internal ones reach nobody else`, async () => {
    await using bench = await machine({ portLimits });
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered}`);
    const red = network("red0", 81);
    red.options["com.docker.network.bridge.enable_icc"] = "false";
    const blue: NetworkSpec = { ...network("blue0", 82), internal: true };
    await driver.createNetwork(red);
    await driver.createNetwork(blue);
    using next = await outside(host);
    const [a] = await fill(bench, red, 81, 2);
    const c = await container(driver, red, "10.81.0.4", [port(8081)]);
    const [d, , f] = await fill(bench, red, 81, 3, 5);
    using _a = await echoServer(a!.sandbox);
    using _c = await echoServer(c.sandbox);
    using _next = await echoServer(next);
    for (const [from, to] of [[d!, "10.81.0.4"], [f!, "10.81.0.4"], [a!, "10.81.0.4"], [d!, "10.81.0.2"]] as const) assert.match(askServer(from.sandbox, to), /timeout|EHOSTUNREACH/);
    await hears(d!.sandbox, "10.81.0.1", "10.81.0.1", "but published ports", 8081);
    await hears(d!.sandbox, "192.0.2.2", "192.0.2.1", "and the outside");
    const [g, , h] = await fill(bench, blue, 82, 3);
    using _h = await echoServer(h!.sandbox);
    await hears(g!.sandbox, "10.82.0.4", "10.82.0.2");
    const annex = links(host, "type bridge").find((name) => links(host, `master ${name}`).length === 2)!;
    inNamespace(host, `sysctl -qw net.ipv4.conf.${annex}.forwarding=1`);
    inNamespace(h!.sandbox, `ip neigh replace 10.82.0.1 lladdr ${macOf(host, annex)} dev eth0; ip route add default via 10.82.0.1`);
    assert.match(askServer(h!.sandbox, "192.0.2.2"), /timeout|EHOSTUNREACH/, "an annex is no way out, whoever sends it frames");
    for (const { sandbox } of [a!, c, d!, f!, g!, h!]) sandbox.close();
  });
}

real("a network that has no bridge left refuses by name, and what another program took of the first is no hindrance", async () => {
  await using bench = await machine({ portLimits });
  const { host, driver } = bench;
  const red = network("red0", 81);
  await driver.createNetwork(red);
  const all = await fill(bench, red, 81, 8);
  await assert.rejects(container(driver, red, "10.81.0.90"), { code: "system", message: /^network red0 is full: its bridge red0 / });
  await end(bench, all.splice(7));
  all.push(...(await fill(bench, red, 81, 1, 91)));
  await reaches(all.at(-1)!.sandbox, "10.81.0.2");
  await end(bench, all);
  assert.deepEqual(links(host), []);
});

real("what is deleted of annexes by others is made again", async () => {
  const repaired: string[] = [];
  await using bench = await machine({ portLimits, repaired: (what) => repaired.push(what) });
  const { host, driver } = bench;
  const red = network("red0", 81);
  await driver.createNetwork(red);
  const all = await fill(bench, red, 81, 6);
  const [first, , third, , , last] = all;
  const [annex] = annexes(host);
  const works = (what: string): Promise<void> =>
    until(`all is reached after ${what}`, () => canReach(third!.sandbox, "10.81.0.2") && canReach(last!.sandbox, "10.81.0.4") && canReach(first!.sandbox, "10.81.0.7"));
  for (const damage of [`ip link delete ${annex}`, `ip link delete ${annex!.replace("gb", "gl")}`, `ip link set ${annex!.replace("gb", "gu")} nomaster`, `ip link set ${annex} down`, "ip link delete red0"]) {
    const before = repaired.length;
    inNamespace(host, damage);
    await until(`repaired: ${damage}`, () => repaired.length > before);
    await works(damage);
  }
  await end(bench, all);
  assert.deepEqual(links(host), []);
});

real("the next daemon knows them: traffic goes on, empty ones go, those of networks that are gone go, half of one is made whole or removed", async () => {
  await using bench = await machine({ portLimits });
  const { host, kernel, driver } = bench;
  const [red, blue] = [network("red0", 81), network("blue0", 82)];
  await driver.createNetwork(red);
  await driver.createNetwork(blue);
  const all = await fill(bench, red, 81, 6);
  const gone = await fill(bench, blue, 82, 3);
  const [, , third, fourth, fifth, last] = all;
  await driver.close();
  for (const { sandbox } of [...gone, last!]) sandbox.close();
  const warnings: string[] = [];
  const reopen = async (lost: string): Promise<void> => {
    if (lost !== "") inNamespace(host, lost);
    const second = createBridgeDriver({ ...options(kernel, warnings), portLimits });
    second.expectNetworks([red]);
    await second.createNetwork(red);
    await second.recover(all.slice(0, 5).map(({ request }) => request));
    await second.checkEndpoints();
    assert.equal(annexes(host).length, 1);
    assert.equal(links(host).filter((name) => /^g[lu]/.test(name)).length, 2);
    await until(`all is reached after ${lost}`, () => canReach(third!.sandbox, "10.81.0.2") && canReach(fourth!.sandbox, "10.81.0.6") && canReach(host, "10.81.0.6"));
    await second.close();
  };
  await reopen("");
  const [annex] = annexes(host);
  await reopen(`ip link delete ${annex!.replace("gb", "gl")}`);
  await reopen(`ip link delete ${annex}`);
  await reopen(`ip link delete ${annex}; ip link delete ${annex!.replace("gb", "gl")}`);
  for (const { sandbox } of [...all.slice(0, 2), third!, fourth!, fifth!]) sandbox.close();
  const last3 = createBridgeDriver({ ...options(kernel, warnings), portLimits });
  await last3.createNetwork(red);
  await last3.recover([]);
  assert.deepEqual(annexes(host), []);
  await last3.close();
});
