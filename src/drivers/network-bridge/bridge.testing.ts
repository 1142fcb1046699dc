/** The driver in namespaces of a test's own: `host` plays the machine, others its containers and a neighbour. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { PortRequest } from "../../core/network-ports.ts";
import type { JoinRequest, NetworkSpec, SandboxNamespace } from "../../core/network.ts";
import { eventually } from "../../lib/eventually.testing.ts";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import type { IpFamily } from "../../lib/ip.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NetworkKernel, OpenNamespace } from "../../sys/netlink/kernel.ts";
import { createSandboxNamespace, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { createBridgeDriver } from "./driver.ts";
import type { BridgeDriverOptions } from "./driver-options.ts";
import type { BridgeDriver } from "./driver.ts";

export interface Machine extends AsyncDisposable {
  host: OpenNamespace;
  kernel: NetworkKernel;
  driver: BridgeDriver;
  warnings: string[];
}

export const options = (kernel: NetworkKernel, warnings: string[]): BridgeDriverOptions => ({
  kernel,
  tag: "7e57",
  table: "gantry-test0",
  ipForward: true,
  firewall: "docker",
  poolSize: 0,
  warn: (message) => warnings.push(message),
});

export async function machine(overrides: Partial<BridgeDriverOptions> = {}): Promise<Machine> {
  const host = await createSandboxNamespace();
  const kernel = openNetworkKernel(host.fd);
  const warnings: string[] = [];
  const driver = createBridgeDriver({ ...options(kernel, warnings), ...overrides });
  return {
    host,
    kernel,
    driver,
    warnings,
    [Symbol.asyncDispose]: async () => {
      await driver.close();
      kernel.close();
      host.close();
    },
  };
}

export const network = (bridge: string, subnet: number): NetworkSpec => ({
  id: String(subnet).repeat(64).slice(0, 64),
  name: bridge,
  options: { "com.docker.network.bridge.name": bridge },
  internal: false,
  subnets: [{ subnet: parsePrefix(`10.${subnet}.0.0/24`)!, gateway: parseIp(`10.${subnet}.0.1`)! }],
});

/** The same with fd00:SUBNET::/64. */
export const dualNetwork = (bridge: string, subnet: number, more: Partial<NetworkSpec> = {}): NetworkSpec => {
  const base = network(bridge, subnet);
  return { ...base, ...more, options: { ...base.options, ...more.options }, subnets: [...base.subnets, { subnet: parsePrefix(`fd00:${subnet}::/64`)!, gateway: parseIp(`fd00:${subnet}::1`)! }] };
};

/** With an address in each subnet of the network: `address` and the IPv6 one that ends in the same number. */
export async function container(driver: BridgeDriver, spec: NetworkSpec, address: string, wanted: readonly PortRequest[] = []): Promise<{ sandbox: SandboxNamespace; request: JoinRequest }> {
  const v6 = spec.subnets.filter(({ subnet }) => subnet.address.family === 6).map(({ subnet }) => ({ address: { family: 6 as const, value: subnet.address.value + BigInt(address.split(".").at(-1)!) }, length: subnet.length }));
  const sandbox = await createSandboxNamespace();
  const request: JoinRequest = { networkId: spec.id, endpointId: randomBytes(32).toString("hex"), sandbox, interfaceName: "eth0", slot: 0, addresses: [parsePrefix(`${address}/24`)!, ...v6], gateways: spec.internal ? [] : spec.subnets.map(({ gateway }) => gateway!) };
  const families: IpFamily[] = v6.length > 0 ? [4, 6] : [4];
  if (wanted.length > 0) request.ports = await driver.reservePorts(request, wanted, { own: families, served: families, left: [] });
  await driver.join(request);
  return { sandbox, request };
}

/** A machine next door, on a veth with 192.0.2.1 and 2001:db8::1 (host), and 192.0.2.2 and 2001:db8::2. */
export async function outside(host: OpenNamespace): Promise<OpenNamespace> {
  const other = await createSandboxNamespace();
  const kernel = openNetworkKernel(host.fd);
  await kernel.apply([{ op: "addVeth", name: "uplink", mtu: 1500, peer: { netns: other.fd, name: "eth0" } }, { op: "setLink", link: { name: "uplink" }, up: true }]);
  await kernel.apply([{ op: "addAddress", index: (await kernel.link("uplink"))!.index, address: parsePrefix("192.0.2.1/24")! }]);
  runInNamespace(host, "ip -6 addr add 2001:db8::1/64 dev uplink nodad; ip -6 addr add ::1/128 dev lo");
  await openNetworkKernel(other.fd).apply([{ op: "setLink", link: { index: 2 }, up: true }, { op: "addAddress", index: 2, address: parsePrefix("192.0.2.2/24")! }]);
  runInNamespace(other, "ip -6 addr add 2001:db8::2/64 dev eth0 nodad");
  return other;
}

/** Answers each TCP connection and each datagram to port 8000 with the client's address. */
export async function echoServer(netns: { readonly fd: number }): Promise<Disposable> {
  const program = `const plain = (address) => address.replace(/^::ffff:/, ""); require("net").createServer((c) => { c.end(plain(c.remoteAddress)); c.on("error", () => {}); }).listen(8000, () => console.log("up"));
    const udp = require("dgram").createSocket("udp4", (_, from) => udp.send(from.address, from.port, from.address)).bind(8000)`;
  const child = spawn("nsenter", [`--net=/proc/${process.pid}/fd/${netns.fd}`, process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return { [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

/** The address that the server sees, "timeout" after a second, or why not. */
export function askServer(netns: { readonly fd: number }, address: string, port = 8000): string {
  const program = `const c = require("net").connect({ host: "${address}", port: ${port}, timeout: 1000 }); c.on("data", (d) => process.stdout.write(d)); c.on("timeout", () => { process.stdout.write("timeout"); c.destroy(); }); c.on("error", (e) => process.stdout.write(e.code))`;
  return runInNamespace(netns, `${process.execPath} -e '${program}'`).stdout;
}

/** Resolves once the server, asked from there, answers that it sees `own`. */
export const hears = (netns: { readonly fd: number }, address: string, own: string, what = "", port = 8000): Promise<void> =>
  eventually(() => assert.equal(askServer(netns, address, port), own, `${address}:${port} ${what}`));

export function askDatagrams(netns: { readonly fd: number }, address: string, port: number): string {
  const program = `const s = require("dgram").createSocket("udp4", (d) => { process.stdout.write(d); s.close(); }); s.on("error", (e) => { process.stdout.write(e.code); s.close(); }); s.connect(${port}, "${address}", () => s.send("?")); setTimeout(() => { process.stdout.write("timeout"); process.exit(); }, 1000).unref(); setTimeout(() => {}, 1100).unref();`;
  return runInNamespace(netns, `${process.execPath} -e '${program}'`).stdout;
}

/** A client that sends datagrams from one port, ever again. `answered` says whether anything came since it was last asked. */
export function steadyClient(netns: { readonly fd: number }, address: string, port: number): Disposable & { answered(): boolean } {
  const program = `const s = require("dgram").createSocket("udp4", () => process.stdout.write("!")); s.on("error", () => {}); s.bind(30000, () => setInterval(() => s.send("?", ${port}, "${address}"), 20))`;
  const child = spawn("nsenter", [`--net=/proc/${process.pid}/fd/${netns.fd}`, process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  let count = 0;
  child.stdout.on("data", () => count++);
  return { answered: () => count > 0 && (count = 0) === 0, [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

export const hasProgram = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** ufw with settings of its own: its files are the machine's. What one call changes the next does not know, but the rules. */
const UFW = "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /mnt; for folder in /etc/ufw /etc/default /lib/ufw; do copy=/mnt/$(echo $folder | tr / -); cp -a $folder $copy; mount --bind $copy $folder; done; sed -i s/^IPV6=.*/IPV6=IPV6_HERE/ /etc/default/ufw;";
export const ufw = (command: string, ipv6 = "no"): string => `unshare --mount --propagation private sh -ec '${UFW.replace("IPV6_HERE", ipv6)} ${command}' >/dev/null 2>&1`;
