/** Other addresses for containers that run: what they had goes, ports, guard and routes follow, calls may be repeated. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RenumberedEndpoint } from "../../core/network.ts";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import { formatMac } from "../../lib/mac.ts";
import { cannotUnshare, inNamespace, reaches } from "../../sys/netlink/namespace.testing.ts";
import { container, echoServer, hears, machine, network, outside } from "./bridge.testing.ts";

test("a network gets another subnet while its containers run", { skip: cannotUnshare }, async () => {
  await using bench = await machine();
  const { host, driver } = bench;
  using next = await outside(host);
  const red = network("red0", 81);
  await driver.createNetwork(red);
  const server = await container(driver, red, "10.81.0.2", [{ protocol: "tcp", port: 8000, hostPorts: { first: 8080, last: 8080 } }]);
  const sibling = await container(driver, red, "10.81.0.3");
  using _server = await echoServer(server.sandbox);
  const moved = { ...red, subnets: [{ subnet: parsePrefix("10.91.0.0/24")!, gateway: parseIp("10.91.0.1")! }] };
  const endpoints = [server, sibling].map(({ sandbox, request: { networkId, endpointId, ports } }, index): RenumberedEndpoint => ({
    networkId,
    endpointId,
    sandbox,
    interfaceName: "eth0",
    addresses: [parsePrefix(`10.91.0.${index + 2}/24`)!],
    gateways: [parseIp("10.91.0.1")!],
    extraAddresses: [parsePrefix("169.254.7.7/32")!],
    trusted: false,
    ...(ports ? { ports } : {}),
  }));
  for (let times = 0; times < 2; times++) {
    const results = await driver.renumberNetwork(moved, endpoints);
    assert.deepEqual(results.map(({ mac }) => formatMac(mac)), ["02:42:0a:5b:00:02", "02:42:0a:5b:00:03"], "as if it had always had the address");
    assert.match(inNamespace(server.sandbox, "ip link show eth0"), /02:42:0a:5b:00:02/);
    assert.deepEqual(inNamespace(server.sandbox, "ip -4 -o addr show eth0 | awk '{print $4}'").trim().split("\n").sort(), ["10.91.0.2/24", "169.254.7.7/32"]);
    assert.match(inNamespace(server.sandbox, "ip route"), /^default via 10\.91\.0\.1 dev eth0/);
    assert.equal(inNamespace(host, "ip -4 -o addr show red0 | awk '{print $4}'").trim(), "10.91.0.1/24");
    await reaches(sibling.sandbox, "10.91.0.2", "the guard believes the new address");
    await reaches(server.sandbox, "192.0.2.2", "out, with the host's address");
    await hears(next, "192.0.2.1", "192.0.2.2", "published", 8080);
    await hears(sibling.sandbox, "10.91.0.1", "10.91.0.1", "its own network by the gateway", 8080);
  }
  for (const { sandbox } of [server, sibling]) sandbox.close();
});
