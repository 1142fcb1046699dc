/** Published ports against the kernel: who reaches them, as whom, and what keeps them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PortRequest, PublishedPort } from "../../core/network-ports.ts";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { parseIp } from "../../lib/ip.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { cannotUnshare, inNamespace, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askDatagrams, askServer, container, echoServer, hears, machine, network, options, outside, steadyClient } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";
import type { DescriptorKeeper } from "./ports.ts";

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);
const tcp = (hostPort: number, address?: string): PortRequest => ({ protocol: "tcp", port: 8000, hostPorts: { first: hostPort, last: hostPort }, ...(address === undefined ? {} : { hostAddress: parseIp(address)! }) });
const udp = (hostPort: number): PortRequest => ({ ...tcp(hostPort), protocol: "udp" });
const red = network("red0", 81);
const blue = network("blue0", 82);

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call-iptables=${filtered}: who reaches a published port, and as whom`, async () => {
    await using bench = await machine();
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered}`);
    using next = await outside(host);
    await driver.createNetwork(red);
    await driver.createNetwork(blue);
    const server = await container(driver, red, "10.81.0.2", [tcp(9000), udp(9000), tcp(9001, "192.0.2.1"), tcp(9002, "127.0.0.1")]);
    const sibling = await container(driver, red, "10.81.0.3");
    const foreign = await container(driver, blue, "10.82.0.2");
    using _server = await echoServer(server.sandbox);
    await hears(next, "192.0.2.1", "192.0.2.2", "from outside, with its own address", 9000);
    await eventually(() => assert.equal(askDatagrams(next, "192.0.2.1", 9000), "192.0.2.2", "datagrams from outside"));
    await hears(host, "192.0.2.1", "192.0.2.1", "the host by its own address", 9000);
    await hears(host, "127.0.0.1", "10.81.0.1", "the host by its loopback", 9000);
    await eventually(() => assert.equal(askDatagrams(host, "127.0.0.1", 9000), "10.81.0.1", "datagrams from the host's loopback"));
    await hears(foreign.sandbox, "192.0.2.1", "10.82.0.2", "another network's container, with its own address", 9000);
    await hears(sibling.sandbox, "10.81.0.1", "10.81.0.1", "a container of the same network", 9000);
    await hears(server.sandbox, "10.81.0.1", "10.81.0.1", "the container itself", 9000);
    await hears(next, "192.0.2.1", "192.0.2.2", "at one address", 9001);
    await eventually(() => assert.match(askServer(host, "127.0.0.1", 9001), /ECONNREFUSED/, "and not at others"));
    await hears(host, "127.0.0.1", "10.81.0.1", "", 9002);
    await eventually(() => assert.match(askServer(next, "192.0.2.1", 9002), /ECONNREFUSED/, "what is at the loopback is for the host"));
    for (const [attacker, gateway] of [[next, "192.0.2.1"], [sibling.sandbox, "10.81.0.1"]] as const) {
      inNamespace(attacker, `sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route del local 127.0.0.0/8 dev lo table local; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.0/8 via ${gateway}`);
      assert.equal(askServer(attacker, "127.0.0.1", 9002), "timeout", "also not by a route to it");
    }
    await driver.releasePorts(server.request);
    await eventually(() => assert.match(askServer(next, "192.0.2.1", 9000), /ECONNREFUSED/));
    [server, sibling, foreign].forEach(({ sandbox }) => sandbox.close());
  });
}

real("ports of a joined endpoint change: others answer, single ones grow to a range and back, sockets are held and given back", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  using next = await outside(host);
  await driver.createNetwork(red);
  const range = (first: number, last: number): PortRequest[] => Array.from({ length: last - first + 1 }, (_, index) => ({ ...tcp(first + index), port: first + index }));
  const server = await container(driver, red, "10.81.0.2");
  using _server = await echoServer(server.sandbox);
  let ports: readonly PublishedPort[] = [];
  const change = async (remove: readonly PublishedPort[], add: readonly PortRequest[]): Promise<void> => {
    const prepared = await driver.changePorts({ ...server.request, ports }, { remove, add, families: { own: [4], served: [4], left: [] } });
    await prepared.apply();
    ports = prepared.ports;
  };
  const isFree = (port: number): boolean => runInNamespace(host, `${process.execPath} -e 'require("net").createServer().listen(${port}, "0.0.0.0", () => process.exit(0)).on("error", () => process.exit(1))' && echo free`).stdout.includes("free");
  await change([], [tcp(9000), ...range(7990, 8003)]);
  await eventually(() => assert.deepEqual([askServer(next, "192.0.2.1", 9000), askServer(host, "127.0.0.1", 8000)], ["192.0.2.2", "10.81.0.1"]));
  await change([], range(8004, 8010));
  assert.match(runInNamespace(host, "nft list map inet gantry-test0 published-tcp-ranges").stdout, /7990-8010 : 10\.81\.0\.2/);
  await hears(next, "192.0.2.1", "192.0.2.2", "", 8000);
  await change(ports.filter(({ hostPort }) => 8000 < hostPort && hostPort < 9000), [tcp(8010)]);
  await hears(next, "192.0.2.1", "192.0.2.2", "it moved to another port of the container", 8010);
  assert.doesNotMatch(runInNamespace(host, "nft list map inet gantry-test0 published-tcp-ranges").stdout, /elements/);
  assert.deepEqual([8000, 8001, 8009, 8010, 9000].map(isFree), [false, true, true, false, false]);
  await change(ports, []);
  await eventually(() => assert.match(askServer(next, "192.0.2.1", 9000), /ECONNREFUSED/));
  assert.ok(isFree(9000) && isFree(8000));
  assert.doesNotMatch(runInNamespace(host, "nft list map inet gantry-test0 published-any").stdout, /elements/);
  server.sandbox.close();
});

real("a range of ports that keep their numbers is one element, beside others", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  using next = await outside(host);
  await driver.createNetwork(red);
  const range = (first: number, last: number): PortRequest[] => Array.from({ length: last - first + 1 }, (_, index) => ({ ...tcp(first + index), port: first + index }));
  const server = await container(driver, red, "10.81.0.2", [...range(7990, 8020), tcp(9000)]);
  const adjacent = await container(driver, red, "10.81.0.3", [...range(8021, 8050), ...range(65_500, 65_535)]);
  using _server = await echoServer(server.sandbox);
  assert.match(inNamespace(host, "nft list map inet gantry-test0 published-tcp-ranges").replaceAll(/\s+/g, " "), /7990-8020 : 10\.81\.0\.2, 8021-8050 : 10\.81\.0\.3, 65500-65535 : 10\.81\.0\.3/);
  await hears(next, "192.0.2.1", "192.0.2.2", "", 8000);
  await hears(next, "192.0.2.1", "192.0.2.2", "", 9000);
  await hears(host, "127.0.0.1", "10.81.0.1", "", 8000);
  await eventually(() => assert.match(askServer(next, "192.0.2.1", 8030), /ECONNREFUSED/, "by the container"));
  await driver.releasePorts(adjacent.request);
  await hears(next, "192.0.2.1", "192.0.2.2", "", 8000);
  await driver.releasePorts(server.request);
  assert.doesNotMatch(inNamespace(host, "nft list map inet gantry-test0 published-tcp-ranges"), /elements/);
  [server, adjacent].forEach(({ sandbox }) => sandbox.close());
});

real("a client that goes on sending datagrams reaches the new container, whatever its flow did before", async () => {
  await using bench = await machine();
  using next = await outside(bench.host);
  await bench.driver.createNetwork(red);
  using client = steadyClient(next, "192.0.2.1", 9000);
  const becomes = async (answered: boolean): Promise<void> => {
    client.answered();
    await until(answered ? "an answer" : "no answer any more", async () => (await sleep(100), client.answered() === answered));
  };
  await sleep(300);
  for (const address of ["10.81.0.2", "10.81.0.3"]) {
    const { sandbox, request } = await container(bench.driver, red, address, [udp(9000)]);
    using _server = await echoServer(sandbox);
    await becomes(true);
    await bench.driver.releasePorts(request);
    await becomes(false);
    sandbox.close();
  }
});

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call-iptables=${filtered}, icc=false: siblings reach a published port, a linked one, and nothing else`, async () => {
    await using bench = await machine();
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered}`);
    using next = await outside(host);
    await driver.createNetwork({ ...red, options: { ...red.options, "com.docker.network.bridge.enable_icc": "false" } });
    const server = await container(driver, red, "10.81.0.2", [tcp(9000)]);
    const sibling = await container(driver, red, "10.81.0.3");
    using _server = await echoServer(server.sandbox);
    await hears(sibling.sandbox, "10.81.0.1", "10.81.0.1", "", 9000);
    assert.equal(askServer(sibling.sandbox, "10.81.0.2"), "timeout");
    await hears(next, "192.0.2.1", "192.0.2.2", "", 9000);
    const link = { networkId: red.id, from: [parseIp("10.81.0.3")!], to: [parseIp("10.81.0.2")!], ports: [{ protocol: "tcp", port: 9000 }] } as const;
    await driver.openLink(link);
    assert.equal(askServer(sibling.sandbox, "10.81.0.2"), "timeout", "another port than the server's");
    const served = { ...link, ports: [{ protocol: "tcp", port: 8000 }] } as const;
    await driver.openLink(served);
    await hears(sibling.sandbox, "10.81.0.2", "10.81.0.3");
    await driver.closeLink(served);
    assert.equal(askServer(sibling.sandbox, "10.81.0.2"), "timeout");
    [server, sibling].forEach(({ sandbox }) => sandbox.close());
  });
}

real("other programs cannot take a published port, and what they have is refused", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  await driver.createNetwork(red);
  const server = await container(driver, red, "10.81.0.2", [tcp(9000)]);
  const listen = (port: number): string => runInNamespace(host, `${process.execPath} -e 'const s = require("net").createServer().listen(${port}, "0.0.0.0", () => { console.log("listens"); s.close(); }); s.on("error", (e) => console.log(e.code))'`).stdout.trim();
  assert.equal(listen(9000), "EADDRINUSE");
  assert.equal(listen(9001), "listens");
  using _other = await echoServer(host);
  const endpoint = { networkId: red.id, endpointId: "77".repeat(32) };
  await assert.rejects(driver.reservePorts(endpoint, [tcp(8000)], { own: [4], served: [4], left: [] }), { message: "failed to bind host port 0.0.0.0:8000/tcp: address already in use" });
  await assert.rejects(driver.reservePorts(endpoint, [tcp(9005, "203.0.113.9")], { own: [4], served: [4], left: [] }), { message: "failed to bind host port 203.0.113.9:9005/tcp: cannot assign requested address" });
  await assert.rejects(driver.reservePorts(endpoint, [tcp(9005), tcp(9000, "127.0.0.1")], { own: [4], served: [4], left: [] }), { message: "Bind for 127.0.0.1:9000 failed: port is already allocated" });
  assert.equal(listen(9005), "listens", "nothing stays reserved after a refusal");
  await driver.releasePorts(server.request);
  assert.equal(listen(9000), "listens");
  server.sandbox.close();
});

real("they are there again after a flush, a deleted bridge and a restart, and reserved meanwhile", async () => {
  await using bench = await machine({ tableOwner: false });
  const { host, kernel } = bench;
  using next = await outside(host);
  const kept = new Map<string, number>();
  // It lost them, as a launcher that died has: then they are bound again.
  const keeper: DescriptorKeeper = { put: async (name, fd) => void kept.set(name, fd), get: async () => undefined, drop: async (name) => void kept.delete(name) };
  const first = createBridgeDriver({ ...options(kernel, []), keeper, tableOwner: false });
  await first.createNetwork(red);
  const server = await container(first, red, "10.81.0.2", [tcp(9000), { protocol: "tcp", port: 8000 }]);
  using _server = await echoServer(server.sandbox);
  const reached = async (): Promise<void> => {
    await eventually(() => assert.deepEqual([askServer(next, "192.0.2.1", 9000), askServer(host, "127.0.0.1", 9000)], ["192.0.2.2", "10.81.0.1"]));
  };
  inNamespace(host, "nft flush ruleset");
  await reached();
  inNamespace(host, "ip link delete red0");
  await reached();
  await first.close();
  assert.equal(kept.size, 1);
  const other = openNetworkKernel(host.fd);
  const second = createBridgeDriver({ ...options(other, []), keeper, tableOwner: false });
  const endpoint = { networkId: red.id, endpointId: server.request.endpointId };
  await second.restorePorts([{ ...endpoint, addresses: server.request.addresses, ports: server.request.ports! }]);
  await second.createNetwork(red);
  await second.recover([endpoint]);
  await reached();
  await assert.rejects(second.reservePorts({ ...endpoint, endpointId: "78".repeat(32) }, [tcp(9000)], { own: [4], served: [4], left: [] }), /port is already allocated/);
  await second.releasePorts(endpoint);
  assert.equal(kept.size, 0);
  await second.releasePorts(endpoint);
  await eventually(() => assert.match(askServer(next, "192.0.2.1", 9000), /ECONNREFUSED/));
  await second.close();
  other.close();
  server.sandbox.close();
});

real("many ports are one transaction, whatever is published already", async () => {
  await using bench = await machine();
  await bench.driver.createNetwork(red);
  const measure = async (address: string, count: number, first: number): Promise<string> => {
    const begun = performance.now();
    const { sandbox, request } = await container(bench.driver, red, address, Array.from({ length: count }, (_, index) => ({ ...tcp(first + index), port: count === 5000 ? first + index : 80 })));
    const ended = performance.now();
    assert.equal(request.ports?.length ?? 0, count);
    sandbox.close();
    return `${count} ports: ${(ended - begun).toFixed(1)} ms`;
  };
  const figures = [await measure("10.81.0.2", 0, 0), await measure("10.81.0.3", 1, 2000), await measure("10.81.0.4", 2000, 3000), await measure("10.81.0.5", 100, 6000), await measure("10.81.0.6", 1, 7000), await measure("10.81.0.7", 5000, 10_000)];
  console.log(`a sandbox, its interface and ${figures.join(", ")}`);
});
