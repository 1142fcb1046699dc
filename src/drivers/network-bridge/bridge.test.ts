/** The driver against the kernel, in namespaces of the test's own: `host` plays the machine. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { networkDriverContract } from "../../core/network.contract.ts";
import type { NetworkSpec } from "../../core/network.ts";
import { codeOf } from "../../lib/errors.ts";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { parsePrefix } from "../../lib/ip.ts";
import { formatMac } from "../../lib/mac.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { canReach, cannotUnshare, createSandboxNamespace, inNamespace, reaches, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askServer, container, echoServer, hears, machine, network, options, outside } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);

if (!cannotUnshare) {
  networkDriverContract("bridge driver", async () => {
    const bench = await machine();
    return {
      driver: bench.driver,
      createSandbox: createSandboxNamespace,
      interfaces: async ({ fd }) => (await openNetworkKernel(fd).links()).filter(({ kind }) => kind === "veth").map(({ name }) => name),
      close: async () => {
        await bench[Symbol.asyncDispose]();
      },
    };
  });
}

real("a bridge that has all the ports that it can have: the next container is refused with the limit, and nothing is left", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  const red = network("red0", 86);
  await driver.createNetwork(red);
  const pairs = Array.from({ length: 511 }, (_, number) => `link add one${number} type veth peer name two${number}\nlink set one${number} master red0\nlink set two${number} master red0\n`);
  inNamespace(host, `ip -batch - <<END\n${pairs.join("")}END`);
  const last = await container(driver, red, "10.86.0.2");
  await assert.rejects(container(driver, red, "10.86.0.3"), { code: "system", message: /^network red0 is full: its bridge red0 has all the ports/ });
  assert.equal(inNamespace(host, "ip -o link | grep -c veth7e57").trim(), "1");
  last.sandbox.close();
});

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call-iptables=${filtered}: containers reach each other, the host and the outside, not another network`, async () => {
    await using bench = await machine();
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered}`);
    const [red, blue] = [network("red0", 81), network("blue0", 82)];
    await driver.createNetwork(red);
    await driver.createNetwork(blue);
    using next = await outside(host);
    const [a, b, c] = [await container(driver, red, "10.81.0.2"), await container(driver, red, "10.81.0.3"), await container(driver, blue, "10.82.0.2")];
    using _server = await echoServer(next);
    using _inside = await echoServer(b.sandbox);
    await hears(a.sandbox, "10.81.0.3", "10.81.0.2", "within a network, with its own address");
    await reaches(a.sandbox, "10.81.0.1", "the gateway");
    await reaches(host, "10.81.0.2", "from the host");
    await hears(a.sandbox, "192.0.2.2", "192.0.2.1", "outside, with the host's address");
    assert.ok(!canReach(a.sandbox, "10.82.0.2"), "another network");
    inNamespace(next, "ip route add 10.81.0.0/24 via 192.0.2.1");
    assert.equal(askServer(next, "10.81.0.3"), "timeout", "from outside directly");
    for (const { sandbox } of [a, b, c]) sandbox.close();
  });
}

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call-iptables=${filtered}: without inter-container communication, only the host and the outside are reached`, async () => {
    await using bench = await machine();
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered}`);
    const red = network("red0", 81);
    red.options["com.docker.network.bridge.enable_icc"] = "false";
    await driver.createNetwork(red);
    using next = await outside(host);
    const [a, b] = [await container(driver, red, "10.81.0.2"), await container(driver, red, "10.81.0.3")];
    using _server = await echoServer(next);
    using _inside = await echoServer(b.sandbox);
    await hears(a.sandbox, "192.0.2.2", "192.0.2.1");
    await reaches(a.sandbox, "10.81.0.1");
    assert.ok(!canReach(a.sandbox, "10.81.0.3"), "directly");
    inNamespace(a.sandbox, "ip route add 10.81.0.3/32 via 10.81.0.1");
    assert.match(askServer(a.sandbox, "10.81.0.3"), /timeout|EHOSTUNREACH/, "through the gateway");
    for (const { sandbox } of [a, b]) sandbox.close();
  });
}

real("with route_localnet on, a container still does not reach the host's loopback", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const { sandbox } = await container(bench.driver, red, "10.81.0.2");
  inNamespace(bench.host, "sysctl -qw net.ipv4.conf.red0.route_localnet=1");
  inNamespace(sandbox, "sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route del local 127.0.0.0/8 dev lo table local; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.0/8 via 10.81.0.1");
  using _server = await echoServer(bench.host);
  assert.equal(askServer(sandbox, "127.0.0.1"), "timeout");
  inNamespace(bench.host, "ip link set lo up");
  await bench.driver.deleteNetwork(red.id);
  sandbox.close();
});

for (const firewall of ["docker", "none"] as const) {
  real(`routes that a container makes ${firewall === "none" ? "lead everywhere without our rules, the positive control" : "lead nowhere else"}: another network, a sibling behind the gateway, out of an internal network`, async () => {
    await using bench = await machine({ firewall });
    const { host, driver } = bench;
    const [red, blue] = [network("red0", 81), network("blue0", 82)];
    red.options["com.docker.network.bridge.enable_icc"] = "false";
    const inner: NetworkSpec = { ...network("inner0", 83), internal: true };
    for (const spec of [red, blue, inner]) await driver.createNetwork(spec);
    using next = await outside(host);
    inNamespace(next, "ip route add 10.83.0.0/24 via 192.0.2.1");
    const [a, b, c, d] = [await container(driver, red, "10.81.0.2"), await container(driver, red, "10.81.0.3"), await container(driver, blue, "10.82.0.2"), await container(driver, inner, "10.83.0.2")];
    inNamespace(host, "sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.red0.send_redirects=0");
    for (const [from, to] of [[a, "3"], [b, "2"]] as const) inNamespace(from.sandbox, `ip route add 10.81.0.${to}/32 via 10.81.0.1`);
    inNamespace(d.sandbox, "ip route add default via 10.83.0.1");
    const reached = (): boolean[] => [canReach(a.sandbox, "10.82.0.2"), canReach(a.sandbox, "10.81.0.3"), canReach(d.sandbox, "192.0.2.2")];
    await eventually(() => assert.ok(canReach(a.sandbox, "10.81.0.1") && canReach(c.sandbox, "10.82.0.1") && canReach(d.sandbox, "10.83.0.1")));
    if (firewall === "none") await eventually(() => assert.deepEqual(reached(), [true, true, true]));
    else assert.deepEqual(reached(), [false, false, false]);
    for (const { sandbox } of [a, b, c, d]) sandbox.close();
  });
}

real("positive control of the loopback test: without our table the host's loopback is reached", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const { sandbox } = await container(bench.driver, red, "10.81.0.2");
  await bench.kernel.nft({ table: { family: "inet", name: "gantry-test0" }, changes: [{ op: "addTable" }, { op: "deleteTable" }] });
  inNamespace(bench.host, "sysctl -qw net.ipv4.conf.red0.route_localnet=1");
  inNamespace(sandbox, "sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route del local 127.0.0.0/8 dev lo table local; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.0/8 via 10.81.0.1");
  using _server = await echoServer(bench.host);
  await hears(sandbox, "127.0.0.1", "10.81.0.2");
  sandbox.close();
});

real("a bridge that somebody deletes, or takes the address from, is restored with its ports", async () => {
  await using bench = await machine({ poolSize: 2 });
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  await bench.driver.prepared();
  const [a, b] = [await container(bench.driver, red, "10.81.0.2"), await container(bench.driver, red, "10.81.0.3")];
  for (const damage of ["ip link del red0", "ip addr del 10.81.0.1/24 dev red0"]) {
    inNamespace(bench.host, damage);
    await reaches(a.sandbox, "10.81.0.1", `after ${damage}`);
    await reaches(a.sandbox, "10.81.0.3", `after ${damage}`);
    const { endpointId, sandbox } = await bench.driver.provideSandbox(red.id, "eth0");
    await bench.driver.join({ ...a.request, endpointId, sandbox, addresses: [parsePrefix("10.81.0.9/24")!] });
    await reaches(sandbox, "10.81.0.2", `by a new container after ${damage}`);
    sandbox.close();
    await bench.driver.leave({ networkId: red.id, endpointId });
  }
  assert.equal(bench.warnings.length, 2, bench.warnings.join());
  for (const { sandbox } of [a, b]) sandbox.close();
});

real("a network without subnets is a plain segment, for containers that bring addresses of their own", async () => {
  await using bench = await machine();
  const red: NetworkSpec = { ...network("red0", 86), subnets: [] };
  await bench.driver.createNetwork(red);
  const sandboxes = await Promise.all(["1", "2"].map(async (digit) => {
    const sandbox = await createSandboxNamespace();
    await bench.driver.join({ networkId: red.id, endpointId: digit.repeat(64), sandbox, interfaceName: "eth0", slot: 0, addresses: [], gateways: [] });
    inNamespace(sandbox, `ip addr add 10.86.0.${digit}/24 dev eth0`);
    return sandbox;
  }));
  await eventually(() => assert.ok(canReach(sandboxes[0]!, "10.86.0.2")));
  assert.equal(inNamespace(bench.host, "ip -o addr show dev red0").trim(), "");
  for (const sandbox of sandboxes) sandbox.close();
});

real("the bridge keeps its hardware address while ports come and go", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const mac = async () => formatMac((await bench.kernel.link("red0"))!.mac);
  const before = await mac();
  for (let host = 2; host < 10; host++) (await container(bench.driver, red, `10.81.0.${host}`)).sandbox.close();
  assert.equal(await mac(), before);
});

real("inside: eth0 without IPv6, loopback with it, the derived hardware address, a default route", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const { sandbox } = await container(bench.driver, red, "10.81.0.2");
  const addresses = inNamespace(sandbox, "ip -o addr").trim().split("\n").map((line) => line.split(/\s+/).slice(1, 4).join(" "));
  assert.deepEqual(addresses, ["lo inet 127.0.0.1/8", "lo inet6 ::1/128", "eth0 inet 10.81.0.2/24"]);
  assert.match(inNamespace(sandbox, "ip link show eth0"), /link\/ether 02:42:0a:51:00:02/);
  assert.match(inNamespace(sandbox, "ip route"), /^default via 10\.81\.0\.1 dev eth0/);
  assert.doesNotMatch(inNamespace(bench.host, "ip -6 addr show dev red0"), /inet6/, "the bridge is quiet");
  sandbox.close();
});

real("nft shows the table as it is meant", async () => {
  await using bench = await machine({ tableOwner: false });
  await bench.driver.createNetwork(network("red0", 81));
  const shown = inNamespace(bench.host, "nft list table inet gantry-test0");
  for (const line of [
    'elements = { "red0" }',
    'elements = { "red0" . "red0" : goto allow }',
    "elements = { 10.81.0.0/24 }",
    "ip daddr 127.0.0.0/8 iifname @bridges drop",
    "fib daddr type local jump publish",
    "dnat ip to meta l4proto . ip daddr . th dport map @published",
    "ip saddr @masqueraded oifname != @bridges masquerade",
    "ct state established,related goto allow",
    "ct status dnat goto allow",
    "iifname . oifname vmap @pairs",
    "oifname @bridges drop",
  ]) {
    assert.ok(shown.includes(line), `${line}\nis not in\n${shown}`);
  }
  assert.match(shown, /mark set .*\| 0x10000000/, "for the passage");
});

real("an owned table survives a flush of the ruleset and is refused to others; the next daemon claims it", async () => {
  const host = await createSandboxNamespace();
  for (const life of [1, 2]) {
    const kernel = openNetworkKernel(host.fd);
    const driver = createBridgeDriver(options(kernel, []));
    await driver.createNetwork(network("red0", 81));
    inNamespace(host, "nft flush ruleset");
    assert.match(inNamespace(host, "nft list ruleset"), /elements = \{ "red0" \}/, `life ${life}`);
    assert.notEqual(runInNamespace(host, "nft delete table inet gantry-test0").status, 0);
    const second = openNetworkKernel(host.fd);
    const rival = createBridgeDriver(options(second, []));
    await assert.rejects(rival.createNetwork(network("red0", 81)), (error) => codeOf(error) === "conflict");
    await rival.close();
    second.close();
    await driver.close();
    kernel.close();
    await sleep(20);
    assert.match(inNamespace(host, "nft list ruleset"), /table inet gantry-test0/, "it stays while no daemon runs");
  }
  host.close();
});

real("forwarding that another program switches off is switched on again, and told of", async () => {
  const repairs: string[] = [];
  await using bench = await machine({ repaired: (what) => repairs.push(what) });
  await bench.driver.createNetwork(network("red0", 81));
  inNamespace(bench.host, "sysctl -qw net.ipv4.ip_forward=0");
  await until("the repair", () => repairs.length > 0);
  assert.deepEqual(repairs, ["sysctl net.ipv4.ip_forward"]);
  assert.equal(inNamespace(bench.host, "cat /proc/sys/net/ipv4/ip_forward").trim(), "1");
});

real("a table without owner is restored after a flush, or of the loss of a chain", async () => {
  await using bench = await machine({ tableOwner: false });
  await bench.driver.createNetwork(network("red0", 81));
  const whole = inNamespace(bench.host, "nft list ruleset");
  for (const damage of ["nft flush ruleset", "nft delete table inet gantry-test0", "nft flush chain inet gantry-test0 forward"]) {
    inNamespace(bench.host, damage);
    await until(`${damage} is healed`, () => inNamespace(bench.host, "nft list ruleset") === whole);
  }
  await until("it is told", () => bench.warnings.length >= 3);
  await sleep(50);
  assert.equal(bench.warnings.length, 3, "healing is no loss of its own");
});

real("a driver that may make no rules takes those of an earlier one away, and publishes nothing", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  await bench.driver.close();
  assert.match(inNamespace(bench.host, "nft list tables"), /gantry-test0/);
  const driver = createBridgeDriver({ ...options(bench.kernel, bench.warnings), firewall: "none" });
  await driver.createNetwork(red);
  assert.equal(inNamespace(bench.host, "nft list tables").trim(), "");
  const joined = await container(driver, red, "10.81.0.2");
  assert.equal(runInNamespace(joined.sandbox, "ping -c 1 -W 60 10.81.0.1").status, 0);
  await assert.rejects(container(driver, red, "10.81.0.3", [{ protocol: "tcp", port: 80 }]), /ports are published by firewall rules/);
  joined.sandbox.close();
  await driver.leave(joined.request);
  await driver.close();
});

real("an endpoint that is silenced is heard no more, and another has its address at once", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  const red = network("red0", 87);
  await driver.createNetwork(red);
  const first = await container(driver, red, "10.87.0.2");
  await reaches(host, "10.87.0.2");
  assert.ok(await driver.silence(first.request));
  assert.ok(!canReach(host, "10.87.0.2"));
  const second = await container(driver, red, "10.87.0.2");
  await until("its interface is up", () => / state UP /.test(inNamespace(second.sandbox, "ip -o link show eth0")));
  // Without an answer the kernel asks anew after five seconds.
  await eventually(() => assert.ok(canReach(host, "10.87.0.2"), "what was known of the first does not count"), 4);
  assert.ok(!canReach(first.sandbox, "10.87.0.1"));
  await reaches(host, "10.87.0.2");
  first.sandbox.close();
  assert.ok(await driver.silence({ ...first.request, endpointId: "0".repeat(64) }), "one that is gone is silent");
  second.sandbox.close();
});

real("leave waits for the namespace, and deletes the interface that something keeps alive", async () => {
  await using bench = await machine();
  const red = network("red0", 81);
  await bench.driver.createNetwork(red);
  const veths = async () => (await bench.kernel.links()).filter(({ kind }) => kind === "veth").length;
  const dying = await container(bench.driver, red, "10.81.0.2");
  dying.sandbox.close();
  await bench.driver.leave(dying.request);
  assert.equal(await veths(), 0);
  const kept = await container(bench.driver, red, "10.81.0.3");
  await bench.driver.leave(kept.request);
  assert.equal(await veths(), 0);
  kept.sandbox.close();
});

real("what a killed daemon leaves: prepared sandboxes die with it, and the next one removes the rest", async () => {
  const host = await createSandboxNamespace();
  const program = `
    const { openNetworkKernel } = await import(${JSON.stringify(new URL("../../sys/netlink/kernel.ts", import.meta.url).href)});
    const { createBridgeDriver } = await import(${JSON.stringify(new URL("./driver.ts", import.meta.url).href)});
    const driver = createBridgeDriver({ kernel: openNetworkKernel(), tag: "7e57", table: "gantry-test0", ipForward: true, firewall: "docker", poolSize: 6, warn: console.error });
    await driver.createNetwork({ id: "${"81".repeat(32)}", name: "red0", options: { "com.docker.network.bridge.name": "red0" }, internal: false, subnets: [] });
    await driver.prepared();
    console.log("ready");
    setInterval(() => {}, 1000);
  `;
  const child = spawn("nsenter", [`--net=/proc/${process.pid}/fd/${host.fd}`, process.execPath, "--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const kernel = openNetworkKernel(host.fd);
  const veths = async () => (await kernel.links()).filter(({ kind }) => kind === "veth").map(({ name }) => name);
  assert.equal((await veths()).length, 6);
  using orphan = await createSandboxNamespace();
  await kernel.apply([{ op: "addVeth", name: "veth7e57aaaaaaa", mtu: 1500, peer: { netns: orphan.fd, name: "eth0" } }]);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
  const driver = createBridgeDriver(options(kernel, []));
  await driver.createNetwork(network("red0", 81));
  await driver.recover([]);
  await eventually(async () => assert.deepEqual(await veths(), []));
  await driver.deleteNetwork(network("red0", 81).id);
  assert.deepEqual((await kernel.links()).map(({ name }) => name), ["lo"]);
  assert.equal(inNamespace(host, "nft list ruleset"), "", "the table is gone with the last network");
  await driver.close();
  kernel.close();
  host.close();
});

real("two daemons side by side, each with its own bridge and table", async () => {
  await using first = await machine();
  const other = createBridgeDriver({ ...options(first.kernel, []), tag: "0001", table: "gantry-test1", kernel: openNetworkKernel(first.host.fd) });
  await first.driver.createNetwork(network("red0", 81));
  await other.createNetwork(network("blue0", 82));
  const [a, b] = [await container(first.driver, network("red0", 81), "10.81.0.2"), await container(other, network("blue0", 82), "10.82.0.2")];
  await first.driver.recover([]);
  await sleep(10);
  await reaches(b.sandbox, "10.82.0.1", "one daemon's recovery leaves the other's containers alone");
  assert.ok(!canReach(b.sandbox, "10.81.0.2"));
  await other.deleteNetwork(network("blue0", 82).id);
  await other.close();
  a.sandbox.close();
  b.sandbox.close();
});
