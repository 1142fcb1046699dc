/** Ports at addresses of a family that the container has not, by the real program. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { formatIp, parseIp, parsePrefix } from "../../lib/ip.ts";
import { nativeDir } from "../../sys/addon.ts";
import { cannotUnshare, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { askServer, container, dualNetwork, echoServer, hears, machine, network, outside } from "./bridge.testing.ts";
import { type RelayProgram, relayedPorts } from "./relay.ts";

const FAMILIES = { own: [4], served: [4], left: [6] } as const;
const port = (protocol: "tcp" | "udp", hostPort: number) => ({ protocol, port: 8000, hostPorts: { first: hostPort, last: hostPort } });

test("what a container's own addresses serve is not relayed, nor what takes no port of the host", () => {
  const addresses = [parsePrefix("10.1.0.2/24")!];
  const at = (hostAddress: string, hostPort: number) => ({ protocol: "tcp" as const, port: 80, hostAddress: parseIp(hostAddress)!, hostPort });
  const relayed = relayedPorts({ addresses, ports: [at("0.0.0.0", 8080), at("::", 8080), at("::1", 8081), at("::", 0)] }, { rules: true });
  assert.deepEqual(relayed.map(({ hostAddress, hostPort, target }) => `${formatIp(hostAddress)} ${hostPort} ${formatIp(target)}`), [":: 8080 10.1.0.2", "::1 8081 10.1.0.2"]);
  assert.deepEqual(relayedPorts({ addresses, ports: [at("0.0.0.0", 8080), at("::", 8080)] }, { rules: false }).map(({ hostAddress }) => formatIp(hostAddress)), ["0.0.0.0", "::"]);
  const both = { addresses: [...addresses, parsePrefix("fd00:1::2/64")!], ports: [at("0.0.0.0", 8080), at("::", 8080), at("::1", 8081), at("2001:db8::1", 8082), at("::", 0)] };
  const servedOf = (loopback6: boolean): string[] => relayedPorts(both, { rules: true, loopback6 }).map(({ hostAddress, target }) => `${formatIp(hostAddress)} ${formatIp(target)}`);
  assert.deepEqual(servedOf(false), [":: fd00:1::2"], "for link-local addresses");
  assert.deepEqual(servedOf(true), [":: fd00:1::2", "::1 fd00:1::2"], "and what the kernel does not redirect at ::1");
});

/** The real program, in the namespace that it is given. */
function program(t: TestContext): { relay: RelayProgram; started: number[]; place: (fd: number) => void } {
  const folder = mkdtempSync(join(tmpdir(), "gantry-relay-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  let namespace = -1;
  const started: number[] = [];
  const relay = {
    socketPath: join(folder, "relay.sock"),
    start: async () => {
      const child = spawn("nsenter", [`--net=/proc/${process.pid}/fd/${namespace}`, join(nativeDir, "gantry-relay"), join(folder, "relay.sock")], { stdio: ["ignore", "pipe", "inherit"] });
      started.push(child.pid!);
      t.after(() => child.kill("SIGKILL"));
      await once(child.stdout, "data");
    },
  };
  return { relay, started, place: (fd) => void (namespace = fd) };
}

test("without firewall rules every published port is relayed", { skip: cannotUnshare }, async (t) => {
  const { relay, place } = program(t);
  await using bench = await machine({ relay, firewall: "none" });
  const { host, driver } = bench;
  place(host.fd);
  const red = network("red0", 81);
  await driver.createNetwork(red);
  const { request, sandbox } = await container(driver, red, "10.81.0.2");
  using _server = await echoServer(sandbox);
  const endpoint = { networkId: red.id, endpointId: request.endpointId, addresses: request.addresses };
  const ports = await driver.reservePorts(endpoint, [port("tcp", 9000)], FAMILIES);
  await driver.publishPorts({ ...endpoint, ports });
  for (const address of ["127.0.0.1", "::1"]) await hears(host, address, "10.81.0.1", "", 9000);
  const sctp = ports.map((one) => ({ ...one, protocol: "sctp" as const }));
  await assert.rejects(driver.publishPorts({ ...endpoint, ports: sctp }), /ports of sctp are published by firewall rules/);
  sandbox.close();
});

for (const filtered of ["0", "1"]) {
  test(`bridge-nf-call-ip6tables=${filtered}: a container with IPv6 is reached at ::1 and at link-local addresses, also while the daemon is away`, { skip: cannotUnshare }, async (t) => {
    const { relay, started, place } = program(t);
    await using bench = await machine({ relay });
    const { host, driver } = bench;
    place(host.fd);
    runInNamespace(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${filtered} net.bridge.bridge-nf-call-ip6tables=${filtered}; ip -6 addr add ::1/128 dev lo`);
    using next = await outside(host);
    const red = dualNetwork("red0", 81);
    await driver.createNetwork(red);
    const { sandbox } = await container(driver, red, "10.81.0.2", [port("tcp", 9000)]);
    using _server = await echoServer(sandbox);
    await hears(host, "::1", "fd00:81::1", "", 9000);
    await hears(host, "127.0.0.1", "10.81.0.1", "", 9000);
    await hears(next, "2001:db8::1", "2001:db8::2", "others take the direct way", 9000);
    const [local] = /fe80::\w+:\w+:\w+:\w+/.exec(runInNamespace(host, "ip -6 addr show dev uplink").stdout)!;
    await eventually(() => assert.equal(askServer(next, `${local}%eth0`, 9000), "fd00:81::1", "at a link-local address"));
    await eventually(() => assert.equal(askServer(host, `${local}%uplink`, 9000), "fd00:81::1"));
    assert.equal(started.length, 1);
    await driver.close();
    await hears(host, "::1", "fd00:81::1", "while the daemon is away", 9000);
    sandbox.close();
  });
}

test("a container without IPv6 is reached at the host's IPv6 addresses, while the daemon is away and after the program was killed", { skip: cannotUnshare }, async (t) => {
  const { relay, started, place } = program(t);
  await using bench = await machine({ relay });
  const { host, driver } = bench;
  place(host.fd);
  using next = await outside(host);
  const red = network("red0", 81);
  await driver.createNetwork(red);
  const { request, sandbox } = await container(driver, red, "10.81.0.2");
  using _server = await echoServer(sandbox);
  const endpoint = { networkId: red.id, endpointId: request.endpointId, addresses: request.addresses };
  const ports = await driver.reservePorts(endpoint, [port("tcp", 9000), port("udp", 9000)], FAMILIES);
  assert.deepEqual(ports.map(({ protocol, hostAddress, hostPort }) => `${protocol} ${formatIp(hostAddress)} ${hostPort}`), ["tcp 0.0.0.0 9000", "tcp :: 9000", "udp 0.0.0.0 9000", "udp :: 9000"]);
  await driver.publishPorts({ ...endpoint, ports });
  await hears(host, "::1", "10.81.0.1", "", 9000);
  await hears(next, "2001:db8::1", "10.81.0.1", "", 9000);
  await hears(next, "192.0.2.1", "192.0.2.2", "its own family takes the direct way", 9000);
  await eventually(() => assert.equal(askDatagrams6(next, "2001:db8::1", 9000), "10.81.0.1 from 2001:db8::1"));

  process.kill(started[0]!, "SIGKILL");
  await until("it is started again", () => started.length === 2 && askServer(host, "::1", 9000) === "10.81.0.1");
  await driver.releasePorts(endpoint);
  await hears(host, "::1", "ECONNREFUSED", "", 9000);
  sandbox.close();
});

/** Says which address the answer comes from. */
function askDatagrams6(netns: { readonly fd: number }, address: string, number: number): string {
  const program = `const s = require("dgram").createSocket("udp6", (d, from) => { process.stdout.write(d + " from " + from.address); s.close(); }); s.on("error", (e) => { process.stdout.write(e.code); s.close(); }); s.send("?", ${number}, "${address}"); setTimeout(() => { process.stdout.write("timeout"); process.exit(); }, 20000).unref()`;
  return runInNamespace(netns, `${process.execPath} -e '${program}'`).stdout;
}
