import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyConfig, emptyHostConfig } from "../../core/container-config.ts";
import type { HostConfig } from "../../core/container-config.ts";
import { fc } from "../../lib/fast-check.testing.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import { portRequests, publishedPorts, storedPorts } from "./port-requests.ts";

function requests(hostConfig: Partial<HostConfig>, exposed: string[] = []): ReturnType<typeof portRequests> {
  return portRequests({ config: { ...emptyConfig(), ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])) }, hostConfig: { ...emptyHostConfig(), ...hostConfig } });
}

test("bindings: addresses, ports, ranges, any port; by number and in their order", () => {
  const PortBindings = {
    "443/tcp": [{ HostIp: "", HostPort: "" }, { HostIp: "127.0.0.1", HostPort: "8443" }],
    "80/tcp": [{ HostIp: "", HostPort: "8000-8010" }],
    "53/udp": [{ HostIp: "", HostPort: "0" }],
    "54/udp": null,
    "9/sctp": [{ HostIp: "", HostPort: "9/sctp" }],
  };
  assert.deepEqual(requests({ PortBindings }, ["1/tcp"]), [
    { protocol: "sctp", port: 9, hostPorts: { first: 9, last: 9 } },
    { protocol: "udp", port: 53 },
    { protocol: "tcp", port: 80, hostPorts: { first: 8000, last: 8010 } },
    { protocol: "tcp", port: 443 },
    { protocol: "tcp", port: 443, hostAddress: parseIp("127.0.0.1"), hostPorts: { first: 8443, last: 8443 } },
  ]);
});

test("all exposed ports, each that no binding names", () => {
  assert.deepEqual(requests({ PublishAllPorts: true, PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "1" }], "81/tcp": [] } }, ["80/tcp", "81/tcp", "82/udp"]), [
    { protocol: "tcp", port: 80, hostPorts: { first: 1, last: 1 } },
    { protocol: "tcp", port: 81 },
    { protocol: "udp", port: 82 },
  ]);
  assert.deepEqual(requests({}, ["80/tcp"]), []);
});

test("consecutive ports of one protocol and address are one request, those of a range or of any port are not", () => {
  const at = (...ports: string[]): { HostIp: string; HostPort: string }[] => ports.map((HostPort) => ({ HostIp: "", HostPort }));
  const PortBindings = { "81/tcp": at("8081", "9081"), "80/tcp": at("8080", "9080"), "82/tcp": at("8082"), "80/udp": at("8080"), "81/udp": at("8081"), "84/tcp": at("8084"), "85/tcp": at("8085-8085"), "86/tcp": at(""), "87/tcp": at("") };
  assert.deepEqual(requests({ PortBindings }), [
    { protocol: "tcp", port: 80, hostPorts: { first: 8080, last: 8082 }, count: 3 },
    { protocol: "tcp", port: 80, hostPorts: { first: 9080, last: 9081 }, count: 2 },
    { protocol: "udp", port: 80, hostPorts: { first: 8080, last: 8081 }, count: 2 },
    { protocol: "tcp", port: 84, hostPorts: { first: 8084, last: 8084 } },
    { protocol: "tcp", port: 85, hostPorts: { first: 8085, last: 8085 } },
    { protocol: "tcp", port: 86 },
    { protocol: "tcp", port: 87 },
  ]);
});

test("an unknown protocol is refused, naming it", () => {
  assert.throws(() => requests({ PortBindings: { "80/xyz": [{ HostIp: "", HostPort: "1" }] } }), { code: "invalid-parameter", message: "invalid transport protocol: xyz" });
});

test("every binding is one request of its own, and what is stored comes back", () => {
  const binding = fc.record({ HostIp: fc.constantFrom("", "0.0.0.0", "192.0.2.7"), first: fc.integer({ min: 1, max: 65_535 }), more: fc.nat(9) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom("tcp", "udp", "sctp"), fc.array(binding, { minLength: 1, maxLength: 5 }), (port, protocol, bindings) => {
      const last = ({ first, more }: { first: number; more: number }): number => Math.min(first + more, 65_535);
      const found = requests({ PortBindings: { [`${port}/${protocol}`]: bindings.map((one) => ({ HostIp: one.HostIp, HostPort: `${one.first}-${last(one)}` })) } });
      assert.deepEqual(found, bindings.map((one) => ({ protocol, port, ...(one.HostIp === "" ? {} : { hostAddress: parseIp(one.HostIp) }), hostPorts: { first: one.first, last: last(one) } })));
      const published = found.map((one) => ({ protocol: one.protocol, port, hostAddress: one.hostAddress ?? parseIp("0.0.0.0")!, hostPort: one.hostPorts!.first }));
      assert.deepEqual(publishedPorts(storedPorts(published)), published);
      assert.deepEqual(storedPorts(published).map(({ hostIp }) => hostIp), published.map(({ hostAddress }) => formatIp(hostAddress)));
    }),
  );
});
