/** What every network driver must do. A driver's test calls this with a bench that can look into its sandboxes. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { codeOf } from "../lib/errors.ts";
import { parseIp, parsePrefix } from "../lib/ip.ts";
import { formatMac } from "../lib/mac.ts";
import { publishesPorts } from "./network-ports.ts";
import type { PortRequest } from "./network-ports.ts";
import type { EndpointReference, JoinRequest, NetworkDriver, NetworkSpec, SandboxNamespace } from "./network.ts";

export interface DriverBench {
  driver: NetworkDriver;
  /** All endpoints have the address of one interface. */
  sharesHardwareAddress?: boolean;
  createSandbox(): Promise<SandboxNamespace>;
  /** Names of a sandbox's interfaces but lo. */
  interfaces(sandbox: SandboxNamespace): Promise<string[]>;
  close(): Promise<void>;
}

const network = (options: Partial<NetworkSpec> = {}): NetworkSpec => ({
  id: randomBytes(32).toString("hex"),
  name: "contract",
  options: {},
  internal: false,
  subnets: [{ subnet: parsePrefix("10.77.0.0/24")!, gateway: parseIp("10.77.0.1")! }],
  ...options,
});

export function networkDriverContract(name: string, open: () => Promise<DriverBench>): void {
  const scenario = (title: string, run: (bench: DriverBench) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const bench = await open();
      try {
        await run(bench);
      } finally {
        await bench.close();
      }
    });
  };
  const request = (spec: NetworkSpec, sandbox: SandboxNamespace, host: number): JoinRequest => ({
    networkId: spec.id,
    endpointId: randomBytes(32).toString("hex"),
    sandbox,
    interfaceName: "eth0",
    slot: 0,
    addresses: [{ address: { family: 4, value: parsePrefix("10.77.0.0/24")!.address.value + BigInt(host) }, length: 24 }],
    gateways: [parseIp("10.77.0.1")!],
  });
  /** Joins a fresh sandbox, and ends both. */
  const joined = async ({ driver, createSandbox }: DriverBench, spec: NetworkSpec, use: (sandbox: SandboxNamespace, endpoint: EndpointReference, mac: Uint8Array) => Promise<void>): Promise<void> => {
    const sandbox = await createSandbox();
    const asked = request(spec, sandbox, 2);
    try {
      const { mac } = await driver.join(asked);
      await use(sandbox, asked, mac);
    } finally {
      sandbox.close();
      await driver.leave(asked);
    }
  };

  scenario("says what it is", async ({ driver }) => {
    assert.match(driver.id, /^[a-z]+$/);
    assert.ok(driver.capabilities.sandbox === "own" || !driver.capabilities.addresses, "the host's sandbox has the host's addresses");
  });

  scenario("making a network twice is making it once", async (bench) => {
    const spec = network();
    await bench.driver.createNetwork(spec);
    await bench.driver.createNetwork(spec);
    await joined(bench, spec, async () => {});
    await bench.driver.deleteNetwork(spec.id);
  });

  scenario("deleting a network twice, or one that never was, is no error", async ({ driver }) => {
    const spec = network();
    await driver.createNetwork(spec);
    await driver.deleteNetwork(spec.id);
    await driver.deleteNetwork(spec.id);
  });

  scenario("join makes the interface where endpoints have addresses", async (bench) => {
    const spec = network();
    await bench.driver.createNetwork(spec);
    await joined(bench, spec, async (sandbox, _endpoint, mac) => {
      assert.deepEqual(await bench.interfaces(sandbox), bench.driver.capabilities.addresses ? ["eth0"] : []);
      assert.equal(mac.length, bench.driver.capabilities.addresses ? 6 : 0);
    });
    await bench.driver.deleteNetwork(spec.id);
  });

  scenario("a hardware address that is asked for is used, or refused", async (bench) => {
    if (!bench.driver.capabilities.addresses) return;
    const spec = network();
    await bench.driver.createNetwork(spec);
    const sandbox = await bench.createSandbox();
    const asked = { ...request(spec, sandbox, 3), mac: Uint8Array.of(2, 66, 1, 2, 3, 4) };
    if (bench.sharesHardwareAddress) await assert.rejects(bench.driver.join(asked), { code: "invalid-parameter" });
    else assert.equal(formatMac((await bench.driver.join(asked)).mac), "02:42:01:02:03:04");
    sandbox.close();
    await bench.driver.leave(asked);
    await bench.driver.deleteNetwork(spec.id);
  });

  scenario("leave resolves for an endpoint that is gone, and for one that never was", async (bench) => {
    const spec = network();
    await bench.driver.createNetwork(spec);
    let last: EndpointReference | undefined;
    await joined(bench, spec, async (_sandbox, endpoint) => void (last = endpoint));
    await bench.driver.leave(last!);
    await bench.driver.leave({ networkId: spec.id, endpointId: randomBytes(32).toString("hex") });
    await bench.driver.deleteNetwork(spec.id);
  });

  scenario("many endpoints join at once", async (bench) => {
    const spec = network();
    await bench.driver.createNetwork(spec);
    const sandboxes = await Promise.all(Array.from({ length: 8 }, () => bench.createSandbox()));
    const requests = sandboxes.map((sandbox, index) => request(spec, sandbox, index + 2));
    await Promise.all(requests.map((asked) => bench.driver.join(asked)));
    for (const sandbox of sandboxes) sandbox.close();
    await Promise.all(requests.map((asked) => bench.driver.leave(asked)));
    await bench.driver.deleteNetwork(spec.id);
  });

  scenario("joining a network that is not there fails where there are networks to make", async (bench) => {
    if (!bench.driver.capabilities.addresses) return;
    const sandbox = await bench.createSandbox();
    await assert.rejects(bench.driver.join(request(network(), sandbox, 2)), (error) => codeOf(error) === "not-found");
    assert.deepEqual(await bench.interfaces(sandbox), []);
    sandbox.close();
  });

  const port = (hostPort: number, protocol: PortRequest["protocol"] = "tcp"): PortRequest => ({ protocol, port: 80, hostPorts: { first: hostPort, last: hostPort } });
  const endpoint = (spec: NetworkSpec): EndpointReference => ({ networkId: spec.id, endpointId: randomBytes(32).toString("hex") });
  const numbers = (ports: readonly { hostPort: number }[]): number[] => ports.map(({ hostPort }) => hostPort);

  scenario("ports are one endpoint's until it releases them, all or none", async ({ driver }) => {
    if (!publishesPorts(driver)) return;
    const spec = network();
    await driver.createNetwork(spec);
    const [one, other] = [endpoint(spec), endpoint(spec)];
    assert.deepEqual(numbers(await driver.reservePorts(one, [port(20_001), port(20_001, "udp"), port(20_002)], { own: [4], served: [4], left: [] })), [20_001, 20_001, 20_002], "in the order of the requests");
    await assert.rejects(driver.reservePorts(other, [port(20_003), port(20_002)], { own: [4], served: [4], left: [] }), { code: "system", message: "Bind for 0.0.0.0:20002 failed: port is already allocated" });
    await driver.releasePorts(one);
    await driver.releasePorts(one);
    assert.deepEqual(numbers(await driver.reservePorts(other, [port(20_003), port(20_002)], { own: [4], served: [4], left: [] })), [20_003, 20_002]);
    await driver.releasePorts(other);
    await driver.deleteNetwork(spec.id);
  });

  scenario("a range gives its first free port, exact requests first, and then nothing", async ({ driver }) => {
    if (!publishesPorts(driver)) return;
    const spec = network();
    await driver.createNetwork(spec);
    const range: PortRequest = { protocol: "tcp", port: 80, hostPorts: { first: 20_010, last: 20_012 } };
    const [one, other] = [endpoint(spec), endpoint(spec)];
    assert.deepEqual(numbers(await driver.reservePorts(one, [range, port(20_010), range], { own: [4], served: [4], left: [] })), [20_011, 20_010, 20_012]);
    await assert.rejects(driver.reservePorts(other, [range], { own: [4], served: [4], left: [] }), { code: "system", message: "all ports are allocated" });
    const [any, second] = await driver.reservePorts(other, [{ protocol: "udp", port: 53 }, { protocol: "udp", port: 54 }], { own: [4], served: [4], left: [] });
    assert.ok(any!.hostPort >= 1024 && any!.hostPort !== second!.hostPort);
    for (const released of [one, other]) await driver.releasePorts(released);
    await driver.deleteNetwork(spec.id);
  });

  scenario("consecutive ports are asked for and answered as one, and taken each by itself", async ({ driver }) => {
    if (!publishesPorts(driver)) return;
    const spec = network();
    await driver.createNetwork(spec);
    const [one, other] = [endpoint(spec), endpoint(spec)];
    const families = { own: [4], served: [4], left: [] } as const;
    const run: PortRequest = { protocol: "tcp", port: 8000, hostPorts: { first: 20_050, last: 20_059 }, count: 10 };
    const [published] = await driver.reservePorts(one, [run], families);
    assert.deepEqual([published!.port, published!.hostPort, published!.count], [8000, 20_050, 10]);
    for (const taken of [20_050, 20_057, 20_059]) await assert.rejects(driver.reservePorts(other, [port(taken)], families), { message: `Bind for 0.0.0.0:${taken} failed: port is already allocated` });
    await assert.rejects(driver.reservePorts(other, [{ ...run, hostPorts: { first: 20_041, last: 20_050 } }], families), { message: "Bind for 0.0.0.0:20050 failed: port is already allocated" });
    await driver.reservePorts(other, [port(20_041), port(20_060)], families);
    for (const released of [one, other]) await driver.releasePorts(released);
    await driver.reservePorts(one, [{ ...run, hostPorts: { first: 20_041, last: 20_060 }, count: 20 }], families);
    await driver.releasePorts(one);
    await driver.deleteNetwork(spec.id);
  });

  scenario("a change of ports takes the new ones first, and gives back the old ones when it is applied", async ({ driver, createSandbox }) => {
    if (!publishesPorts(driver)) return;
    const spec = network();
    await driver.createNetwork(spec);
    const sandbox = await createSandbox();
    const asked = request(spec, sandbox, 4);
    const other = endpoint(spec);
    asked.ports = await driver.reservePorts(asked, [port(20_031), port(20_032), port(20_033)], { own: [4], served: [4], left: [] });
    await driver.join(asked);
    const current = { ...asked, ports: asked.ports };
    const [kept, moved, gone] = asked.ports;
    const change = { remove: [moved!, gone!], families: { own: [4], served: [4], left: [] } as const };
    await driver.reservePorts(other, [port(20_034)], { own: [4], served: [4], left: [] });
    await assert.rejects(driver.changePorts(current, { ...change, add: [port(20_035), port(20_034)] }), { code: "system", message: "Bind for 0.0.0.0:20034 failed: port is already allocated" });
    const cancelled = await driver.changePorts(current, { ...change, add: [port(20_035)] });
    cancelled.cancel();
    const changed = await driver.changePorts(current, { ...change, add: [{ ...port(20_032), port: 81 }, port(20_035)] });
    assert.deepEqual(changed.ports, [kept, { ...moved, port: 81 }, { ...gone, hostPort: 20_035 }]);
    await assert.rejects(driver.reservePorts(endpoint(spec), [port(20_033)], { own: [4], served: [4], left: [] }), /already allocated/, "not yet given back");
    await changed.apply();
    for (const taken of [20_031, 20_032, 20_035]) await assert.rejects(driver.reservePorts(endpoint(spec), [port(taken)], { own: [4], served: [4], left: [] }), /already allocated/);
    const next = endpoint(spec);
    await driver.reservePorts(next, [port(20_033)], { own: [4], served: [4], left: [] });
    await (await driver.changePorts({ ...asked, ports: changed.ports }, { remove: changed.ports, add: [], families: { own: [4], served: [4], left: [] } })).apply();
    const last = endpoint(spec);
    await driver.reservePorts(last, [port(20_031), port(20_032), port(20_035)], { own: [4], served: [4], left: [] });
    for (const released of [other, next, last, asked]) await driver.releasePorts(released);
    sandbox.close();
    await driver.leave(asked);
    await driver.deleteNetwork(spec.id);
  });

  scenario("restored ports are taken before their network is made", async ({ driver }) => {
    if (!publishesPorts(driver)) return;
    const spec = network();
    const before = endpoint(spec);
    await driver.restorePorts([{ ...before, addresses: [parsePrefix("10.77.0.9/24")!], ports: [{ protocol: "tcp", port: 80, hostAddress: parseIp("0.0.0.0")!, hostPort: 20_020 }] }]);
    await driver.createNetwork(spec);
    await assert.rejects(driver.reservePorts(endpoint(spec), [port(20_020)], { own: [4], served: [4], left: [] }), { message: "Bind for 0.0.0.0:20020 failed: port is already allocated" });
    await driver.releasePorts(before);
    const next = endpoint(spec);
    await driver.reservePorts(next, [port(20_020)], { own: [4], served: [4], left: [] });
    await driver.releasePorts(next);
    await driver.deleteNetwork(spec.id);
  });
}
