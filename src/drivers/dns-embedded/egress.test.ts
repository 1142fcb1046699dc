/** Limited sandboxes on a machine of the test's own: a bridge with two containers, and a neighbour outside. The server runs in the machine's namespace. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { EgressDenial, SandboxView } from "../../core/name-service.ts";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { parseIp } from "../../lib/ip.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { OpenNamespace } from "../../sys/netlink/kernel.ts";
import { cannotUnshare, createSandboxNamespace, inNamespace, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { createEmbeddedDns } from "./client.ts";
import type { EmbeddedDns } from "./client.ts";
import { connectIn, fakeServer, lookUp, names, view } from "./dns.testing.ts";
import type { FakeServer } from "./dns.testing.ts";

interface Bench extends AsyncDisposable {
  host: OpenNamespace;
  limited: OpenNamespace;
  other: OpenNamespace;
  outside: OpenNamespace;
  dns: EmbeddedDns;
  denials: EgressDenial[];
  warnings: string[];
  upstream: FakeServer;
  server(): ChildProcess;
}

const LIMITED = "a".repeat(64);

async function bench(): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-egress-"));
  const [host, limited, other, outside] = await Promise.all([createSandboxNamespace(), createSandboxNamespace(), createSandboxNamespace(), createSandboxNamespace()]);
  const at = ({ fd }: OpenNamespace): string => `/proc/${process.pid}/fd/${fd}`;
  const wire = async (name: string, to: OpenNamespace, addresses: string[]): Promise<void> => {
    await openNetworkKernel(host.fd).apply([{ op: "addVeth", name, mtu: 1500, peer: { netns: to.fd, name: "eth0" } }]);
    inNamespace(to, `ip link set eth0 up; ${addresses.map((address) => `ip addr add ${address} dev eth0${address.includes(":") ? " nodad" : ""}`).join("; ")}`);
  };
  inNamespace(host, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.77.0.1/24 dev br0; ip addr add fd77::1/64 dev br0 nodad");
  await wire("va", limited, ["10.77.0.2/24", "fd77::2/64"]);
  await wire("vb", other, ["10.77.0.3/24", "fd77::3/64"]);
  await wire("vo", outside, ["192.0.2.2/24", "192.0.2.3/24", "fd99::2/64"]);
  inNamespace(host, "for port in va vb; do ip link set $port master br0 up; done; ip link set vo up; ip addr add 192.0.2.1/24 dev vo; ip addr add fd99::1/64 dev vo nodad");
  for (const netns of [limited, other]) inNamespace(netns, "ip route add default via 10.77.0.1; ip -6 route add default via fd77::1");
  inNamespace(outside, "ip route add 10.77.0.0/24 via 192.0.2.1; ip -6 route add fd77::/64 via fd99::1");
  const upstream = await fakeServer(host, "127.0.0.1", "192.0.2.2");
  writeFileSync(join(folder, "resolv.conf"), "nameserver 127.0.0.1\n");
  const [denials, warnings]: [EgressDenial[], string[]] = [[], []];
  let server: ChildProcess | undefined;
  const start = async (socketPath: string): Promise<void> => {
    const program = new URL("../../cmd/gantry-dns.ts", import.meta.url).pathname;
    server = spawn("nsenter", [`--net=${at(host)}`, process.execPath, program, socketPath, join(folder, "resolv.conf")], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => server!.stdout!.once("data", resolve));
  };
  const dns = createEmbeddedDns({ socketPath: join(folder, "dns.sock"), start, denied: (denial) => denials.push(denial), warn: (message) => warnings.push(message) });
  return {
    host,
    limited,
    other,
    outside,
    dns,
    denials,
    warnings,
    upstream,
    server: () => server!,
    [Symbol.asyncDispose]: async () => {
      dns.close();
      server?.kill("SIGKILL");
      upstream.close();
      for (const netns of [limited, other, outside, host]) netns.close();
      rmSync(folder, { recursive: true });
    },
  };
}

const limits = (...rules: string[]): SandboxView => view(["red"], { forward: true, egress: { sources: [parseIp("10.77.0.2")!, parseIp("fd77::2")!], rules, owner: { containerId: "c", networkId: "red", networkName: "red" } } });

/** Listens in the namespace at every address, IPv6 too, until it is stopped. */
async function listener(netns: OpenNamespace, ...ports: number[]): Promise<Disposable> {
  const program = `const net = require("net"); Promise.all([${ports.join(", ")}].map((port) => new Promise((done) => net.createServer((c) => { c.on("error", () => {}); c.end("hello"); }).listen(port, "::", done)))).then(() => console.log("up"))`;
  const child = spawn("nsenter", [`--net=/proc/${process.pid}/fd/${netns.fd}`, process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return { [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

/** "hello", or how it failed. */
function connect(netns: OpenNamespace, address: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connectIn(netns, address, port);
  const timer = setTimeout(() => resolve("timeout"), 30_000);
  socket.on("data", (data: Buffer) => resolve(data.toString()));
  socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);

real("frames that cross two bridges of a network are told of once, and what is allowed passes both", async () => {
  await using b = await bench();
  using _other = await listener(b.other, 5432, 5433);
  inNamespace(b.host, "ip link add br1 type bridge; ip link set br1 up; ip link add la type veth peer lb; ip link set la master br0 up; ip link set lb master br1 up; ip link set va master br1; sysctl -qw net.bridge.bridge-nf-call-iptables=1");
  await b.dns.attach({ id: LIMITED, netnsFd: b.limited.fd }, limits("allow=10.77.0.3:5432"));
  await eventually(async () => assert.equal(await connect(b.limited, "10.77.0.3", 5432), "hello", "allowed at both"));
  assert.match(await connect(b.limited, "10.77.0.3", 5433), /^E(CONNREFUSED|CONNRESET|ACCES|HOSTUNREACH)$/);
  await until("it is told of", () => b.denials.some(({ target, port }) => target === "10.77.0.3" && port === 5433));
  assert.deepEqual(b.denials.map(({ target, protocol, port }) => `${target} ${protocol} ${port}`), ["10.77.0.3 tcp 5433"]);
});

real("only what is allowed is reached, by name and by address, and the rest fails at once and is told of", async () => {
  await using b = await bench();
  using _outside = await listener(b.outside, 443, 80);
  using _other = await listener(b.other, 5432);
  using _host = await listener(b.host, 22);
  await b.dns.setEndpoint({ networkId: "red", endpointId: "e" }, names("red", ["db", "cache"], "10.77.0.3"));
  await b.dns.attach({ id: LIMITED, netnsFd: b.limited.fd }, view(["red"], { forward: true }));
  const everything: [string, number][] = [["192.0.2.2", 443], ["192.0.2.3", 443], ["192.0.2.2", 80], ["fd99::2", 443], ["10.77.0.3", 5432], ["10.77.0.1", 22]];
  for (const [address, port] of everything) await eventually(async () => assert.equal(await connect(b.limited, address, port), "hello", `positive control: ${address}:${port}`));

  await b.dns.setView(LIMITED, limits("allow=api.example.test:443"));
  for (const [address, port] of everything) assert.match(await connect(b.limited, address, port), /^E(CONNREFUSED|CONNRESET|ACCES|HOSTUNREACH)$/, `${address}:${port}`);
  assert.equal(await lookUp(b.limited, "elsewhere.test"), "NXDOMAIN");
  assert.equal(await lookUp(b.limited, "db"), "NXDOMAIN");
  assert.deepEqual(b.upstream.asked, [], "nothing leaves by DNS");
  await assert.rejects(lookUp(b.limited, "api.example.test", { server: "192.0.2.2", stream: true }), "another server is no way out");

  assert.deepEqual(await lookUp(b.limited, "API.example.test"), ["192.0.2.2"]);
  await eventually(async () => assert.equal(await connect(b.limited, "192.0.2.2", 443), "hello", "allowed once it was asked for"));
  for (const [address, port] of everything.slice(1)) assert.notEqual(await connect(b.limited, address, port), "hello", `${address}:${port} still`);
  await until("a name is told of", () => b.denials.some(({ owner, target }) => owner.containerId === "c" && target === "elsewhere.test"));
  await until("an address is told of", () => b.denials.some(({ target, protocol, port }) => target === "192.0.2.3" && protocol === "tcp" && port === 443));
  await until("an IPv6 address is told of", () => b.denials.some(({ target }) => target === "fd99::2"));

  await b.dns.setView(LIMITED, limits("allow=db:5432", "allow=192.0.2.0/31:80", "allow=[fd99::/64]:443"));
  assert.notEqual(await connect(b.limited, "192.0.2.2", 443), "hello", "what is not allowed any more");
  assert.notEqual(await connect(b.limited, "192.0.2.2", 80), "hello", "just beyond the subnet");
  await eventually(async () => assert.equal(await connect(b.limited, "fd99::2", 443), "hello"));
  assert.deepEqual(await lookUp(b.limited, "db"), ["10.77.0.3"]);
  await eventually(async () => assert.equal(await connect(b.limited, "10.77.0.3", 5432), "hello", "a container by its name"));
  assert.equal(await lookUp(b.limited, "cache"), "NXDOMAIN");

  await b.dns.detach(LIMITED);
  await eventually(async () => assert.equal(await connect(b.limited, "192.0.2.3", 443), "hello", "limits end with the sandbox"));
  assert.equal(inNamespace(b.host, "nft list tables"), "");
});

real("what connects to a limited container is answered; others are not limited", async () => {
  await using b = await bench();
  using _inside = await listener(b.limited, 8080);
  using _outside = await listener(b.outside, 443);
  await b.dns.attach({ id: LIMITED, netnsFd: b.limited.fd }, limits("allow=10.99.0.0/16"));
  await eventually(async () => assert.equal(await connect(b.outside, "10.77.0.2", 8080), "hello"));
  await eventually(async () => assert.equal(await connect(b.other, "10.77.0.2", 8080), "hello"));
  await eventually(async () => assert.equal(await connect(b.other, "192.0.2.2", 443), "hello"));
  assert.notEqual(await connect(b.limited, "192.0.2.2", 443), "hello");
});

real("limits hold while the server is killed and the table flushed, and names are learned by the next one", async () => {
  await using b = await bench();
  using _outside = await listener(b.outside, 443);
  await b.dns.attach({ id: LIMITED, netnsFd: b.limited.fd }, limits("allow=*.example.test:443"));
  assert.notEqual(await connect(b.limited, "192.0.2.2", 443), "hello");
  b.server().kill("SIGKILL");
  assert.notEqual(await connect(b.limited, "192.0.2.2", 443), "hello", "without a server");
  await eventually(async () => assert.deepEqual(await lookUp(b.limited, "x.example.test", { stream: true }), ["192.0.2.2"]));
  await eventually(async () => assert.equal(await connect(b.limited, "192.0.2.2", 443), "hello"));
  runInNamespace(b.host, "nft flush ruleset");
  await eventually(async () => assert.equal(await connect(b.limited, "192.0.2.2", 443), "hello"));
  assert.notEqual(await connect(b.limited, "192.0.2.3", 443), "hello");
});

real("a name's owner cannot open the machine's own services", async () => {
  await using b = await bench();
  b.upstream.answer = "169.254.169.254";
  await b.dns.attach({ id: LIMITED, netnsFd: b.limited.fd }, limits("allow=*:80"));
  assert.deepEqual(await lookUp(b.limited, "rebinding.test"), ["169.254.169.254"]);
  assert.doesNotMatch(inNamespace(b.host, "nft list ruleset"), /169\.254\.169\.254/);
  // Control: an address that is somebody's own is opened.
  b.upstream.answer = "198.51.100.9";
  assert.deepEqual(await lookUp(b.limited, "honest.test"), ["198.51.100.9"]);
  assert.match(inNamespace(b.host, "nft list ruleset"), /198\.51\.100\.9/);
});
