/** IPv6, gateway modes, internal networks and trusted interfaces against the kernel. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortRequest } from "../../core/network-ports.ts";
import type { NetworkSpec } from "../../core/network.ts";
import { eventually } from "../../lib/eventually.testing.ts";
import { parseIp } from "../../lib/ip.ts";
import { cannotUnshare, inNamespace, reaches, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askServer, container, dualNetwork, echoServer, hears, machine, outside } from "./bridge.testing.ts";

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);
const tcp = (hostPort: number, address?: string): PortRequest => ({ protocol: "tcp", port: 8000, hostPorts: { first: hostPort, last: hostPort }, ...(address === undefined ? {} : { hostAddress: parseIp(address)! }) });
const option = (name: string, value: string): Partial<NetworkSpec> => ({ options: { [`com.docker.network.bridge.${name}`]: value } });

for (const filtered of ["0", "1"]) {
  real(`bridge-nf-call-ip6tables=${filtered}: addresses at once, out with the host's, nothing in but published ports`, async () => {
    await using bench = await machine();
    const { host, driver } = bench;
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-ip6tables=${filtered}`);
    using next = await outside(host);
    const [red, blue] = [dualNetwork("red0", 81), dualNetwork("blue0", 82)];
    await driver.createNetwork(red);
    await driver.createNetwork(blue);
    const server = await container(driver, red, "10.81.0.2", [tcp(9000), tcp(9001, "2001:db8::1"), tcp(9002, "::1")]);
    const [sibling, foreign] = [await container(driver, red, "10.81.0.3"), await container(driver, blue, "10.82.0.2")];
    using _server = await echoServer(server.sandbox);
    using _outside = await echoServer(next);
    inNamespace(next, "ip -6 route add fd00:81::/64 via 2001:db8::1");
    assert.doesNotMatch(inNamespace(server.sandbox, "ip -6 addr show dev eth0 scope global"), /tentative/, "nobody is asked whether the address is free");
    assert.equal(inNamespace(server.sandbox, "cat /proc/sys/net/ipv6/conf/eth0/accept_ra").trim(), "0");
    await hears(sibling.sandbox, "fd00:81::2", "fd00:81::3", "within the network");
    await hears(server.sandbox, "2001:db8::2", "2001:db8::1", "outside, with the host's address");
    assert.equal(askServer(foreign.sandbox, "fd00:81::2"), "timeout", "another network");
    assert.equal(askServer(next, "fd00:81::2"), "timeout", "from outside directly");
    await hears(next, "2001:db8::1", "2001:db8::2", "a published port, with the client's address", 9000);
    await hears(next, "192.0.2.1", "192.0.2.2", "the same port of IPv4", 9000);
    await hears(next, "2001:db8::1", "2001:db8::2", "at one address", 9001);
    await eventually(() => assert.match(askServer(next, "2001:db8::1", 9002), /ECONNREFUSED/, "what is at the loopback is for the host"));
    // Where bridges call the firewall, answers to ::1 have that address before they reach the host, which then does not take them.
    if (filtered === "0") await eventually(() => assert.deepEqual([9000, 9002].map((port) => askServer(host, "::1", port)), ["fd00:81::1", "fd00:81::1"], "the host by its loopback"));
    await hears(sibling.sandbox, "fd00:81::1", "fd00:81::1", "a container of the same network", 9000);
    await hears(server.sandbox, "fd00:81::1", "fd00:81::1", "the container itself", 9000);
    await hears(foreign.sandbox, "fd00:82::1", "fd00:82::2", "another network's container", 9000);
    await driver.releasePorts(server.request);
    await eventually(() => assert.match(askServer(next, "2001:db8::1", 9000), /ECONNREFUSED/));
    for (const { sandbox } of [server, sibling, foreign]) sandbox.close();
  });
}

real("an internal network reaches nobody, not even by published ports, and is reached by nobody but the host", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  using next = await outside(host);
  const [closed, open] = [dualNetwork("red0", 81, { internal: true }), dualNetwork("blue0", 82)];
  await driver.createNetwork(closed);
  await driver.createNetwork(open);
  const [inside, sibling, server] = [await container(driver, closed, "10.81.0.2"), await container(driver, closed, "10.81.0.3"), await container(driver, open, "10.82.0.2", [tcp(9000)])];
  using _inside = await echoServer(inside.sandbox);
  using _server = await echoServer(server.sandbox);
  using _outside = await echoServer(next);
  inNamespace(inside.sandbox, "ip route add default via 10.81.0.1; ip -6 route add default via fd00:81::1");
  inNamespace(next, "ip route add 10.81.0.0/24 via 192.0.2.1");
  await hears(sibling.sandbox, "10.81.0.2", "10.81.0.3");
  await hears(host, "10.81.0.2", "10.81.0.1");
  for (const [address, port] of [["192.0.2.2", 8000], ["2001:db8::2", 8000], ["192.0.2.1", 9000], ["10.82.0.2", 8000]] as const) assert.equal(askServer(inside.sandbox, address, port), "timeout", address);
  assert.equal(askServer(next, "10.81.0.2"), "timeout");
  assert.equal(askServer(server.sandbox, "10.81.0.2"), "timeout");
  for (const { sandbox } of [inside, sibling, server]) sandbox.close();
});

real("gateway modes: unprotected at every port, routed at published ones, isolated without the host; trusted interfaces", async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  using next = await outside(host);
  const modes: [string, number, Partial<NetworkSpec>][] = [
    ["open0", 81, { options: { "com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected", "com.docker.network.bridge.gateway_mode_ipv6": "routed" } }],
    ["apart0", 82, { internal: true, ...option("gateway_mode_ipv4", "isolated") }],
    ["trust0", 83, option("trusted_host_interfaces", "uplink:nosuch0")],
    ["bare0", 84, option("inhibit_ipv4", "true")],
  ];
  const made: Awaited<ReturnType<typeof container>>[] = [];
  for (const [name, subnet, more] of modes) {
    const spec = dualNetwork(name, subnet, more);
    await driver.createNetwork(spec);
    made.push(await container(driver, spec, `10.${subnet}.0.2`, name === "open0" || name === "trust0" ? [{ ...tcp(9000 + subnet), port: 8000 }] : []));
    inNamespace(next, `ip route add 10.${subnet}.0.0/24 via 192.0.2.1; ip -6 route add fd00:${subnet}::/64 via 2001:db8::1`);
  }
  using _open = await echoServer(made[0]!.sandbox);
  using _trusting = await echoServer(made[2]!.sandbox);
  using _outside = await echoServer(next);
  assert.deepEqual(made[0]!.request.ports!.map(({ hostPort }) => hostPort), [9081, 0]);
  await hears(next, "10.81.0.2", "192.0.2.2", "unprotected");
  await hears(made[0]!.sandbox, "192.0.2.2", "192.0.2.1", "out with the host's address");
  await hears(next, "fd00:81::2", "2001:db8::2", "routed, the published port");
  assert.equal(askServer(next, "fd00:81::2", 8001), "timeout", "routed, another port");
  await hears(made[0]!.sandbox, "2001:db8::2", "fd00:81::2", "out with its own address");
  await reaches(next, "fd00:81::2", "by messages to routed addresses");
  await hears(next, "10.83.0.2", "192.0.2.2", "a published port, from a trusted interface");
  assert.equal(askServer(next, "10.83.0.2", 8001), "timeout", "another port");
  assert.doesNotMatch(inNamespace(host, "ip addr show apart0"), /inet 10\.82/);
  assert.doesNotMatch(inNamespace(host, "ip addr show bare0"), /inet 10\.84/);
  assert.match(inNamespace(host, "ip addr show bare0"), /fd00:84::1/);
  for (const { sandbox } of made) sandbox.close();
});
