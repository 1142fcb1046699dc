/** The driver against namespaces in memory: what it asks of the kernel, and what it leaves when the kernel refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { networkDriverContract } from "../../core/network.contract.ts";
import type { JoinRequest, NetworkSpec } from "../../core/network.ts";
import { digestOf, hexOf } from "../../lib/digest.ts";
import { codeOf } from "../../lib/errors.ts";
import { until } from "../../lib/eventually.testing.ts";
import { formatPrefix, parseIp, parsePrefix } from "../../lib/ip.ts";
import { FakeMachine } from "../../sys/netlink/fake.ts";
import { createBridgeDriver } from "./driver.ts";
import { hostInterfaceName } from "./endpoint.ts";
import type { BridgeDriverOptions } from "./driver-options.ts";
import type { BridgeDriver } from "./driver.ts";

const TAG = "abcd";

function open(options: Partial<BridgeDriverOptions> = {}): { machine: FakeMachine; driver: BridgeDriver; warnings: string[] } {
  const machine = new FakeMachine();
  const warnings: string[] = [];
  const driver = createBridgeDriver({
    kernel: machine.host,
    tag: TAG,
    table: "gantry-test",
    ipForward: true,
    firewall: "docker",
    poolSize: 0,
    warn: (message) => warnings.push(message),
    ...options,
  });
  return { machine, driver, warnings };
}

const ID = "11".repeat(32);
const spec = (options: Record<string, string> = {}): NetworkSpec => ({
  id: ID,
  name: "bridge",
  options: { "com.docker.network.bridge.name": "docker0", ...options },
  internal: false,
  subnets: [{ subnet: parsePrefix("172.17.0.0/16")!, gateway: parseIp("172.17.0.1")! }],
});
const request = (machine: FakeMachine, endpointId = "22".repeat(32)): JoinRequest => ({
  networkId: ID,
  endpointId,
  sandbox: machine.createSandbox(),
  interfaceName: "eth0",
  slot: 0,
  addresses: [parsePrefix("172.17.0.2/16")!],
  gateways: [parseIp("172.17.0.1")!],
});

networkDriverContract("bridge driver in memory", async () => {
  const { machine, driver } = open();
  return {
    driver,
    createSandbox: async () => machine.createSandbox(),
    interfaces: async ({ fd }) => (await machine.namespace(fd).links()).map(({ name }) => name).filter((name) => name !== "lo"),
    close: () => driver.close(),
  };
});

test("the bridge has the gateway, is marked as ours, and forwarding is on", async () => {
  const { machine, driver } = open();
  await driver.createNetwork(spec({ "com.docker.network.driver.mtu": "1400" }));
  const bridge = (await machine.host.link("docker0"))!;
  assert.equal(bridge.kind, "bridge");
  assert.equal(bridge.up, true);
  assert.equal(bridge.alias, `gantry ${TAG}`);
  assert.equal(bridge.mtu, 1400);
  assert.deepEqual(machine.host.state.addresses.map(({ address }) => formatPrefix(address)), ["172.17.0.1/16"]);
  assert.equal(machine.host.state.sysctls.get("net/ipv4/ip_forward"), "1");
  assert.equal(machine.host.state.sysctls.get("net/ipv6/conf/docker0/disable_ipv6"), "1");
  await driver.close();
});

test("--ip-forward=false leaves the sysctl alone", async () => {
  const { machine, driver } = open({ ipForward: false });
  await driver.createNetwork(spec());
  assert.equal(machine.host.state.sysctls.has("net/ipv4/ip_forward"), false);
  await driver.close();
});

test("an own bridge loses the address of an earlier configuration, a foreign one keeps its own", async () => {
  for (const ours of [true, false]) {
    const { machine, driver } = open();
    await machine.host.apply([{ op: "addBridge", name: "docker0" }, { op: "setLink", link: { name: "docker0" }, alias: ours ? `gantry ${TAG}` : "" }, { op: "addAddress", index: 2, address: parsePrefix("10.0.0.1/24")! }]);
    await driver.createNetwork(spec());
    assert.deepEqual(machine.host.state.addresses.map(({ address }) => formatPrefix(address)).sort(), ours ? ["172.17.0.1/16"] : ["10.0.0.1/24", "172.17.0.1/16"]);
    await driver.deleteNetwork(ID);
    assert.equal((await machine.host.link("docker0")) !== undefined, !ours, "only an own bridge is deleted");
    await driver.close();
  }
});

test("an interface of that name that is no bridge is refused", async () => {
  const { machine, driver } = open();
  machine.host.state.links.push({ index: 7, name: "docker0", up: true, running: true, mac: new Uint8Array(6), mtu: 1500, master: 0, kind: "veth", alias: "" });
  await assert.rejects(driver.createNetwork(spec()), (error) => codeOf(error) === "conflict" && /docker0 exists and is a veth, not a bridge/.test(String(error)));
  assert.equal(machine.host.transactions.at(-1)?.changes.at(-1)?.op, "deleteTable", "no firewall is left");
  await driver.close();
});

test("options: Docker's words for what they cannot be", () => {
  const { driver } = open();
  assert.throws(() => driver.validate(spec({ "com.docker.network.bridge.gateway_mode_ipv4": "nosuch" })), /failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: nosuch \(unknown gateway mode nosuch\)/);
  assert.throws(() => driver.validate(spec({ "com.docker.network.bridge.gateway_mode_ipv6": "isolated" })), /gateway mode 'isolated' can only be used for an internal network/);
  assert.throws(() => driver.validate(spec({ "com.docker.network.driver.mtu": "20" })), /invalid MTU number: 20/);
  assert.throws(() => driver.validate(spec({ "com.docker.network.bridge.name": "a-name-that-is-too-long" })), /numerical result out of range/);
  assert.throws(() => driver.validate(spec({ "com.docker.network.bridge.name": "../etc" })), /invalid bridge name/);
  assert.throws(() => driver.validate(spec({ "com.docker.network.bridge.enable_ip_masquerade": "maybe" })), /failed to parse com.docker.network.bridge.enable_ip_masquerade value: maybe/);
});

test("join: a port of the bridge outside, address and default route inside, IPv6 off before the interface is born", async () => {
  const { machine, driver } = open();
  await driver.createNetwork(spec());
  const asked = request(machine);
  const { mac } = await driver.join(asked);
  assert.deepEqual([...mac], [2, 0x42, 172, 17, 0, 2]);
  const inside = machine.namespace(asked.sandbox.fd);
  assert.deepEqual(inside.done, [`add veth eth0 with peer ${hostInterfaceName("vethabcd", "22".repeat(32))}`, "set link 2", "add address 172.17.0.2/16 to link 2", "add route to default via 172.17.0.1"]);
  assert.equal(inside.state.sysctls.get("net/ipv6/conf/default/disable_ipv6"), "1");
  const port = (await machine.host.link(hostInterfaceName("vethabcd", "22".repeat(32))))!;
  assert.equal(port.master, (await machine.host.link("docker0"))!.index);
  assert.equal(port.up, true);
  await driver.close();
});

test("where a new namespace has more than loopback, the interface gets a later index", async () => {
  const { machine, driver } = open();
  await driver.createNetwork(spec());
  const asked = request(machine);
  machine.namespace(asked.sandbox.fd).state.links.push({ index: 2, name: "tunl0", up: false, running: false, mac: new Uint8Array(6), mtu: 1480, master: 0, kind: "ipip", alias: "" });
  await driver.join(asked);
  assert.ok(machine.namespace(asked.sandbox.fd).done.includes("add address 172.17.0.2/16 to link 1000"));
  await driver.close();
});

test("host interfaces are named in fifteen bytes, by daemon and endpoint", () => {
  assert.equal(hostInterfaceName("vethabcd", "00".repeat(32)), "vethabcd0000000");
  const names = new Set(Array.from({ length: 2000 }, (_, index) => hostInterfaceName("vethabcd", hexOf(digestOf(String(index))))));
  assert.equal(names.size, 2000);
  for (const name of names) assert.match(name, /^vethabcd[0-9a-z]{7}$/);
});

test("a join that fails at any step leaves no interface", async () => {
  for (const step of ["addVeth", "setLink", "addAddress", "addRoute"]) {
    const { machine, driver } = open();
    await driver.createNetwork(spec());
    const asked = request(machine);
    const fail = (change: object): "ENOENT" | undefined => ("op" in change && change.op === step ? "ENOENT" : undefined);
    machine.host.failure = fail;
    machine.namespace(asked.sandbox.fd).failure = fail;
    await assert.rejects(driver.join(asked), /ENOENT/, step);
    assert.deepEqual((await machine.host.links()).map(({ name }) => name), ["lo", "docker0"], step);
    await driver.close();
  }
});

test("prepared sandboxes are taken once, refilled, and dropped at close", async () => {
  const { machine, driver } = open({ poolSize: 3 });
  await driver.createNetwork(spec());
  assert.equal(machine.openSandboxes, 0, "nothing is prepared before it was asked for");
  await driver.prepared();
  assert.equal(machine.openSandboxes, 3);
  const taken = await driver.provideSandbox(ID, "eth0");
  const asked = { ...request(machine, taken.endpointId), sandbox: taken.sandbox };
  const before = machine.namespace(taken.sandbox.fd).done.length;
  await driver.join(asked);
  assert.deepEqual(machine.namespace(taken.sandbox.fd).done.slice(before), ["set link 2", "add address 172.17.0.2/16 to link 2", "add route to default via 172.17.0.1"]);
  await driver.prepared();
  assert.equal(machine.openSandboxes, 3 + 1 + 1);
  await driver.close();
  assert.equal(machine.openSandboxes, 2, "the taken one, and the one of the unused request");
});

test("sandboxes are prepared for the user namespace that containers have by default; others are made", async () => {
  const maps = { uids: [{ containerID: 0, hostID: 1000, size: 10 }], gids: [] };
  const { machine, driver } = open({ poolSize: 1, maps });
  await driver.createNetwork(spec());
  await driver.prepared();
  const ofHost = await driver.provideSandbox(ID, "eth0");
  assert.deepEqual([machine.openSandboxes, machine.namespace(ofHost.sandbox.fd).owner], [2, undefined]);
  const own = await driver.provideSandbox(ID, "eth0", maps);
  assert.equal(machine.namespace(own.sandbox.fd).owner, maps);
  await driver.join({ ...request(machine, ofHost.endpointId), sandbox: ofHost.sandbox });
  await driver.close();
});

test("with nothing prepared, a sandbox is made with its interface", async () => {
  const { machine, driver } = open();
  await driver.createNetwork(spec());
  const { sandbox, endpointId } = await driver.provideSandbox(ID, "eth0");
  assert.deepEqual(machine.namespace(sandbox.fd).done, ["set link 1", `add veth eth0 with peer ${hostInterfaceName("vethabcd", endpointId)}`, "set link 2"]);
  const again = await driver.provideSandbox(ID, "eth0");
  assert.notEqual(again.endpointId, endpointId);
  assert.equal(machine.openSandboxes, 2);
  await driver.close();
});

test("preparing that fails is told once, and the next start tries again", async () => {
  const { machine, driver, warnings } = open({ poolSize: 2 });
  await driver.createNetwork(spec());
  machine.born = (kernel) => (kernel.failure = (change) => ("op" in change && change.op === "setLink" ? "ENODEV" : undefined));
  await driver.prepared();
  assert.deepEqual([warnings.length, machine.openSandboxes], [1, 0]);
  await assert.rejects(driver.provideSandbox(ID, "eth0"), /ENODEV/);
  machine.born = () => {};
  (await driver.provideSandbox(ID, "eth0")).sandbox.close();
  await driver.close();
});

test("recovery keeps the ports of known endpoints and prepared ones, and removes only this daemon's others", async () => {
  const { machine, driver } = open({ poolSize: 1 });
  await driver.createNetwork(spec());
  await driver.prepared();
  const [known, stale, foreign] = [hostInterfaceName("vethabcd", "33".repeat(32)), hostInterfaceName("vethabcd", "44".repeat(32)), "vethffff5555555"];
  for (const name of [known, stale, foreign]) {
    await machine.host.apply([{ op: "addVeth", name, mtu: 1500, peer: { netns: machine.createSandbox().fd, name: "eth0" } }]);
  }
  const names = async () => (await machine.host.links()).filter(({ kind }) => kind === "veth").map(({ name }) => name);
  const prepared = (await names())[0]!;
  await driver.recover([{ networkId: ID, endpointId: "33".repeat(32) }]);
  assert.deepEqual((await names()).sort(), [known, foreign, prepared].sort());
  await driver.close();
});

test("the table is claimed, taken over where it has no owner, and plain where the kernel knows no owners", async () => {
  const owners = ({ machine }: { machine: FakeMachine }) => machine.host.transactions.at(-1)!.changes.filter((change) => change.op === "addTable").map((change) => Boolean(change.owner));
  for (const [refusals, expected] of [[0, [true, true]], [1, [false, true]], [2, [false, false]]] as const) {
    const bench = open();
    let left: number = refusals;
    bench.machine.host.failure = (change) => ("table" in change && left-- > 0 ? "EOPNOTSUPP" : undefined);
    await bench.driver.createNetwork(spec());
    assert.deepEqual(owners(bench), expected);
    await bench.driver.close();
  }
});

test("a table that another live daemon owns is an error that says so", async () => {
  const { machine, driver } = open();
  machine.host.failure = (change) => ("table" in change ? "EPERM" : undefined);
  await assert.rejects(driver.createNetwork(spec()), (error) => codeOf(error) === "conflict" && /belongs to another running program/.test(String(error)));
  await driver.close();
});

test("a lost table is restored and told of", async () => {
  const { machine, driver, warnings } = open({ tableOwner: false });
  await driver.createNetwork(spec());
  const before = machine.host.transactions.length;
  machine.host.loseTables();
  machine.host.loseTables();
  await until("the table is restored", () => machine.host.transactions.length > before);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(machine.host.transactions.length, before + 1);
  assert.match(warnings[0]!, /has been restored/);
  await driver.close();
});

test("another program's chain that drops forwarded packets: a way through it, or one warning", async () => {
  const chain = { family: 2, table: "filter", name: "FORWARD", hook: 2, priority: 0, policy: "drop" } as const;
  const chains = [{ ...chain, policy: "accept", name: "other" } as const, { ...chain, hook: 1, name: "INPUT" }, { ...chain, family: 7, name: "bridge" }, { ...chain, table: "gantry-test" }, chain];
  for (const firewall of ["docker", "own-table"] as const) {
    const { machine, driver, warnings } = open({ firewall });
    machine.host.chains = chains;
    await driver.createNetwork(spec());
    if (firewall === "own-table") await driver.createNetwork(spec());
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, firewall === "docker" ? /^chain FORWARD of table filter drops .* a rule at its head accepts/ : /^chain FORWARD of table filter: .* docker0$/);
    assert.deepEqual(machine.host.transactions.filter(({ table }) => table.name === "filter").map(({ changes }) => changes.map(({ op }) => op)), firewall === "docker" ? [["addRule"]] : []);
    await driver.close();
  }
});
