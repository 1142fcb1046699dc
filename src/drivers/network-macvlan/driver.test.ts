import assert from "node:assert/strict";
import { test } from "node:test";
import { networkDriverContract } from "../../core/network.contract.ts";
import type { JoinRequest, NetworkSpec, SandboxNamespace } from "../../core/network.ts";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import { FakeMachine } from "../../sys/netlink/fake.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { canReach, cannotUnshare, createSandboxNamespace, inNamespace } from "../../sys/netlink/namespace.testing.ts";
import { createSlaveDriver } from "./driver.ts";
import type { SlaveKind } from "./options.ts";

for (const kind of ["macvlan", "ipvlan"] as const) {
  networkDriverContract(`${kind} driver in memory`, async () => {
    const machine = new FakeMachine();
    return {
      driver: createSlaveDriver({ kernel: machine.host, kind, alias: "gantry test", openSandbox: (fd) => machine.namespace(fd) }),
      sharesHardwareAddress: kind === "ipvlan",
      createSandbox: async () => machine.createSandbox(),
      interfaces: async ({ fd }) => (await machine.namespace(fd).links()).map(({ name }) => name).filter((name) => name !== "lo"),
      close: async () => {},
    };
  });
}

const spec = (number: number, options: Record<string, string>): NetworkSpec => ({ id: String(number).repeat(64), name: `n${number}`, options, internal: false, subnets: [{ subnet: parsePrefix("192.0.2.0/24")!, gateway: parseIp("192.0.2.1")! }] });

async function openFake(kind: SlaveKind = "macvlan") {
  const machine = new FakeMachine();
  await machine.host.apply([{ op: "addLink", name: "up0", data: { kind: "dummy" } }]);
  const driver = createSlaveDriver({ kernel: machine.host, kind, alias: "gantry test", openSandbox: (fd) => machine.namespace(fd) });
  const links = async (): Promise<string[]> => (await machine.host.links()).map(({ name }) => name).sort();
  return { machine, driver, links };
}

test("parents: dummy ones and VLANs are made and go with their last network; what cannot be is refused in Docker's words", async () => {
  const { driver, links } = await openFake();
  await driver.createNetwork(spec(1, {}));
  await driver.createNetwork(spec(2, { parent: "up0.10" }));
  await driver.createNetwork(spec(3, { parent: "up0.10", macvlan_mode: "private" }));
  assert.deepEqual(await links(), ["dm-111111111111", "lo", "up0", "up0.10"]);
  for (const [options, message] of [
    [{ parent: "nosuch0" }, "invalid subinterface vlan name nosuch0, example formatting is eth0.10"],
    [{ parent: "nosuch0.10" }, "-o parent interface was not found on the host: nosuch0"],
    [{ parent: "up0.5000" }, "vlan id must be between 1-4094, received: 5000"],
    [{ parent: "up0.10", macvlan_mode: "passthru" }, `cannot use mode passthru, macvlan network ${"2".repeat(64)} is already using parent interface up0.10`],
    [{ macvlan_mode: "nosuch" }, "requested macvlan mode 'nosuch' is not valid, 'bridge' mode is the macvlan driver default"],
  ] as const) await assert.rejects(async () => driver.createNetwork(spec(4, options)), { code: "system", message });
  await driver.deleteNetwork(spec(2, {}).id);
  assert.ok((await links()).includes("up0.10"), "another network is on it");
  for (const number of [1, 3]) await driver.deleteNetwork(spec(number, {}).id);
  assert.deepEqual(await links(), ["lo", "up0"]);
});

test("a kernel without ipvlan is named", async () => {
  const { machine, driver } = await openFake("ipvlan");
  await driver.createNetwork(spec(1, { parent: "up0", ipvlan_mode: "l3" }));
  machine.host.failure = (change) => ("op" in change && change.op === "addLink" ? "EOPNOTSUPP" : undefined);
  await assert.rejects(driver.join(request(spec(1, {}), machine.createSandbox(), 2)), { code: "not-implemented", message: "this kernel has no ipvlan" });
});

const request = (network: NetworkSpec, sandbox: SandboxNamespace, host: number): JoinRequest => ({ networkId: network.id, endpointId: String(host).padStart(64, "0"), sandbox, interfaceName: "eth0", slot: 0, addresses: [parsePrefix(`192.0.2.${host}/24`)!], gateways: [parseIp("192.0.2.1")!] });

test("on a wire: neighbours are reached with an own hardware address, siblings as the mode says, the host is not", { skip: cannotUnshare }, async () => {
  using host = await createSandboxNamespace();
  using next = await createSandboxNamespace();
  const kernel = openNetworkKernel(host.fd);
  await kernel.apply([{ op: "addVeth", name: "up0", mtu: 1500, peer: { netns: next.fd, name: "eth0" } }, { op: "setLink", link: { name: "up0" }, up: true }]);
  inNamespace(host, "ip addr add 192.0.2.9/24 dev up0");
  inNamespace(next, "ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0");
  const driver = createSlaveDriver({ kernel, kind: "macvlan", alias: "gantry test", openSandbox: openNetworkKernel });
  const joined = async (network: NetworkSpec, number: number) => {
    const sandbox = await createSandboxNamespace();
    const asked = request(network, sandbox, number);
    await driver.join(asked);
    return { sandbox, asked };
  };
  for (const [number, mode, siblings] of [[1, "bridge", true], [2, "private", false]] as const) {
    const network = spec(number, { parent: "up0", macvlan_mode: mode });
    await driver.createNetwork(network);
    const [a, b] = [await joined(network, 10 * number), await joined(network, 10 * number + 1)];
    assert.ok(canReach(a.sandbox, "192.0.2.1"), `${mode}: the neighbour`);
    assert.equal(canReach(a.sandbox, `192.0.2.${10 * number + 1}`), siblings, `${mode}: a sibling`);
    assert.ok(!canReach(a.sandbox, "192.0.2.9"), "the host");
    await driver.leave(a.asked, { sandbox: a.sandbox, interfaceName: "eth0" });
    assert.equal(inNamespace(a.sandbox, "ls /sys/class/net 2>/dev/null; ip -o link | grep -c eth0 || true").trim().endsWith("0"), true, "taken out of a living sandbox");
    for (const { sandbox } of [a, b]) sandbox.close();
  }
  inNamespace(host, "ip link del up0");
  kernel.close();
});
