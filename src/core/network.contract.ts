/** What every network driver must do. A driver's test calls this with a bench that can look into its sandboxes. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { codeOf } from "../lib/errors.ts";
import { parseIp, parsePrefix } from "../lib/ip.ts";
import { formatMac } from "../lib/mac.ts";
import type { EndpointReference, JoinRequest, NetworkDriver, NetworkSpec, SandboxNamespace } from "./network.ts";

export interface DriverBench {
  driver: NetworkDriver;
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

  scenario("a hardware address that is asked for is used", async (bench) => {
    if (!bench.driver.capabilities.addresses) return;
    const spec = network();
    await bench.driver.createNetwork(spec);
    const sandbox = await bench.createSandbox();
    const asked = { ...request(spec, sandbox, 3), mac: Uint8Array.of(2, 66, 1, 2, 3, 4) };
    assert.equal(formatMac((await bench.driver.join(asked)).mac), "02:42:01:02:03:04");
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
}
