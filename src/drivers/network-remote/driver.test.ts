import assert from "node:assert/strict";
import { test } from "node:test";
import { networkDriverContract } from "../../core/network.contract.ts";
import type { JoinRequest, NetworkSpec } from "../../core/network.ts";
import { MethodMissing } from "../../core/plugins.ts";
import type { PluginAnswer } from "../../core/plugins.ts";
import { systemError } from "../../lib/errors.ts";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import { formatMac } from "../../lib/mac.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { cannotUnshare as skip, createSandboxNamespace, inNamespace } from "../../sys/netlink/namespace.testing.ts";
import { Netns } from "../../sys/netlink/netns.ts";
import { createRemoteDriver } from "./driver.ts";

interface Bench {
  driver: ReturnType<typeof createRemoteDriver>;
  calls: { method: string; request: Record<string, unknown> }[];
  /** Takes the place of an answer; throws for a refusal. */
  answers: Map<string, (request: Record<string, unknown>) => PluginAnswer>;
  warnings: string[];
  links(): string[];
  host: { fd: number };
  close(): Promise<void>;
}

/** A plugin that makes a veth pair for each endpoint in a namespace that stands for the host's. */
async function open(): Promise<Bench> {
  const host = await createSandboxNamespace();
  const kernel = openNetworkKernel(host.fd);
  const calls: Bench["calls"] = [];
  const answers: Bench["answers"] = new Map();
  const warnings: string[] = [];
  const linkOf = (request: Record<string, unknown>): string => `p${String(request["EndpointID"]).slice(0, 10)}`;
  const usual: Record<string, (request: Record<string, unknown>) => PluginAnswer> = {
    GetCapabilities: () => ({ Scope: "local" }),
    Join: (request) => {
      inNamespace(host, `ip link add ${linkOf(request)} type veth peer name x${linkOf(request).slice(1)} && ip link set x${linkOf(request).slice(1)} up`);
      return { InterfaceName: { SrcName: linkOf(request), DstPrefix: "eth" }, Gateway: "10.77.0.1", StaticRoutes: [{ Destination: "198.51.100.0/24", RouteType: 0, NextHop: "10.77.0.9" }] };
    },
    DeleteEndpoint: (request) => {
      inNamespace(host, `ip link del x${linkOf(request).slice(1)} 2>/dev/null || true`);
      return {};
    },
  };
  const call = async (name: string, request: object = {}): Promise<PluginAnswer> => {
    const method = name.replace("NetworkDriver.", "");
    calls.push({ method, request: request as Record<string, unknown> });
    return (answers.get(method) ?? usual[method] ?? (() => ({})))(request as Record<string, unknown>);
  };
  const driver = createRemoteDriver({ name: "remote", find: async () => ({ name: "remote", call }), kernel, openSandbox: openNetworkKernel, hostNamespace: () => Netns.open(`/proc/${process.pid}/fd/${host.fd}`), warn: (message) => warnings.push(message) });
  const links = (): string[] => inNamespace(host, "ip -o link | cut -d: -f2 | cut -d@ -f1").split("\n").map((line) => line.trim()).filter((line) => /^p[0-9a-f]{10}/.test(line));
  return { driver, calls, answers, warnings, links, host, close: async () => (kernel.close(), host.close()) };
}

if (skip === false) {
  networkDriverContract("remote driver", async () => {
    const bench = await open();
    return {
      driver: bench.driver,
      createSandbox: createSandboxNamespace,
      interfaces: async (sandbox) => inNamespace(sandbox, "ip -o link | cut -d: -f2 | cut -d@ -f1").split("\n").map((line) => line.trim()).filter((line) => line !== "" && line !== "lo"),
      close: bench.close,
    };
  });
}

const spec: NetworkSpec = { id: "1".repeat(64), name: "n", options: { flavour: "sour" }, internal: false, subnets: [{ subnet: parsePrefix("10.77.0.0/24")!, gateway: parseIp("10.77.0.1")! }, { subnet: parsePrefix("fd77::/64")!, gateway: parseIp("fd77::1")! }] };
const request = (sandbox: JoinRequest["sandbox"], more: Partial<JoinRequest> = {}): JoinRequest => ({ networkId: spec.id, endpointId: "a".repeat(64), sandbox, interfaceName: "eth3", slot: 3, addresses: [parsePrefix("10.77.0.5/24")!], gateways: [parseIp("10.77.0.1")!], ...more });

test("the plugin is told what libnetwork tells, and its interface comes and goes", { skip }, async () => {
  const bench = await open();
  const sandbox = await createSandboxNamespace();
  try {
    await bench.driver.createNetwork(spec);
    assert.deepEqual(bench.calls.at(-1), {
      method: "CreateNetwork",
      request: {
        NetworkID: spec.id,
        Options: { "com.docker.network.enable_ipv4": true, "com.docker.network.enable_ipv6": true, "com.docker.network.generic": { flavour: "sour" } },
        IPv4Data: [{ AddressSpace: "LocalDefault", Pool: "10.77.0.0/24", Gateway: "10.77.0.1/24", AuxAddresses: {} }],
        IPv6Data: [{ AddressSpace: "LocalDefault", Pool: "fd77::/64", Gateway: "fd77::1/64", AuxAddresses: {} }],
      },
    });
    bench.answers.set("CreateEndpoint", () => ({ Interface: { MacAddress: "02:42:aa:bb:cc:dd" } }));
    const { mac } = await bench.driver.join(request(sandbox));
    assert.equal(formatMac(mac), "02:42:aa:bb:cc:dd");
    assert.deepEqual(bench.links(), [], "it is the container's");
    const inside = inNamespace(sandbox, "ip addr show eth3; ip route");
    assert.match(inside, /link\/ether 02:42:aa:bb:cc:dd[^]*inet 10\.77\.0\.5\/24/);
    assert.match(inside, /default via 10\.77\.0\.1 dev eth3[^]*198\.51\.100\.0\/24 via 10\.77\.0\.9/);
    await bench.driver.leave(request(sandbox), { sandbox, interfaceName: "eth3" });
    assert.deepEqual(bench.calls.slice(-2).map(({ method }) => method), ["Leave", "DeleteEndpoint"]);
    assert.equal(inNamespace(sandbox, "ip -o link").trim().split("\n").length, 1);
    assert.deepEqual(bench.warnings, []);
    await bench.driver.deleteNetwork(spec.id);
  } finally {
    sandbox.close();
    await bench.close();
  }
});

test("the plugin hears of ports that are published, as libnetwork words them, and need not have a method for that", { skip }, async () => {
  const bench = await open();
  try {
    const { driver, calls, answers } = bench;
    const endpoint = { networkId: spec.id, endpointId: "a".repeat(64) };
    const ids = { NetworkID: endpoint.networkId, EndpointID: endpoint.endpointId };
    const ports = { published: [{ protocol: "tcp", port: 80, hostAddress: parseIp("192.0.2.1")!, hostPorts: { first: 8080, last: 8081 } }, { protocol: "udp", port: 53 }], exposed: [{ protocol: "tcp", port: 80 }] } as const;
    await driver.openOutside(endpoint, ports);
    await driver.closeOutside(endpoint);
    assert.deepEqual(calls.slice(-2), [
      {
        method: "ProgramExternalConnectivity",
        request: {
          ...ids,
          Options: {
            "com.docker.network.portmap": [{ Proto: 6, IP: "", Port: 80, HostIP: "192.0.2.1", HostPort: 8080, HostPortEnd: 8081 }, { Proto: 17, IP: "", Port: 53, HostIP: "", HostPort: 0, HostPortEnd: 0 }],
            "com.docker.network.endpoint.exposedports": [{ Proto: 6, Port: 80 }],
          },
        },
      },
      { method: "RevokeExternalConnectivity", request: ids },
    ]);
    answers.set("ProgramExternalConnectivity", () => {
      throw systemError("404 page not found", new MethodMissing());
    });
    await driver.openOutside(endpoint, ports);
    answers.set("ProgramExternalConnectivity", () => {
      throw systemError("port 8080 is taken");
    });
    await assert.rejects(driver.openOutside(endpoint, ports), /port 8080 is taken/);
  } finally {
    await bench.close();
  }
});

test("a failed join leaves nothing with the plugin, whatever fails", { skip }, async () => {
  const bench = await open();
  const sandbox = await createSandboxNamespace();
  try {
    await bench.driver.createNetwork(spec);
    const failures: [string, (asked: Record<string, unknown>) => PluginAnswer, RegExp][] = [
      ["CreateEndpoint", () => ({ Interface: { Address: "10.77.0.99/24" } }), /the plugin chose 10.77.0.99\/24, but 10.77.0.5\/24 is what it was given/],
      ["Join", () => { throw systemError("NetworkDriver.Join: no more ports"); }, /no more ports/],
      ["Join", () => ({ InterfaceName: { SrcName: "nosuch0" } }), /made no interface nosuch0/],
      ["Join", () => ({ InterfaceName: "x" }), /InterfaceName of the plugin's answer is no object/],
      ["Join", () => ({ Gateway: "no address" }), /no address is no address of a gateway/],
      ["Join", () => ({ StaticRoutes: {} }), /StaticRoutes of the plugin's answer is no list/],
    ];
    for (const [method, answer, message] of failures) {
      bench.answers.clear();
      bench.answers.set(method, answer);
      bench.calls.length = 0;
      await assert.rejects(bench.driver.join(request(sandbox)), { message });
      if (method === "Join") assert.equal(bench.calls.at(-1)?.method, "DeleteEndpoint", String(message));
      assert.deepEqual(bench.links(), []);
    }
    bench.answers.clear();
    await assert.rejects(bench.driver.join(request(sandbox, { addresses: [parsePrefix("10.77.0.5/24")!, parsePrefix("10.77.0.5/24")!] })), /File exists|EEXIST/);
    assert.deepEqual(bench.links(), []);
    assert.equal(inNamespace(sandbox, "ip -o link").trim().split("\n").length, 1, "nothing is left in the container");
    assert.ok(bench.calls.some(({ method }) => method === "Leave"));
  } finally {
    sandbox.close();
    await bench.close();
  }
});

test("networks of an earlier life are not made again; leaving tells what failed and goes on", { skip }, async () => {
  const bench = await open();
  try {
    bench.driver.expectNetworks([spec]);
    await bench.driver.createNetwork(spec);
    assert.deepEqual(bench.calls, []);
    bench.answers.set("Leave", () => { throw systemError("gone"); });
    await bench.driver.leave({ networkId: spec.id, endpointId: "b".repeat(64) });
    assert.deepEqual(bench.calls.map(({ method }) => method), ["Leave", "DeleteEndpoint"]);
    assert.match(bench.warnings[0] ?? "", /gone/);
  } finally {
    await bench.close();
  }
});
