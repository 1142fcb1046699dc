/** The server and its client in one process, and sandboxes that are namespaces of the test's own. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { closeSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import packet from "dns-packet";
import { eventually, until } from "../../lib/eventually.testing.ts";
import { parseIp } from "../../lib/ip.ts";
import type { OpenNamespace } from "../../sys/netlink/kernel.ts";
import { cannotUnshare, createSandboxNamespace } from "../../sys/netlink/namespace.testing.ts";
import { netSocket } from "../../sys/net-socket.ts";
import { createEmbeddedDns } from "./client.ts";
import type { EmbeddedDns } from "./client.ts";
import { LOOPBACK, ask, connectIn, exchangeRaw, fakeServer, lookUp, names, view } from "./dns.testing.ts";
import { startNameServer } from "./server.ts";
import type { RunningServer } from "./server.ts";
import { LineReader, line } from "./wire.ts";
import type { NumberedRequest } from "./wire.ts";

interface Bench extends AsyncDisposable {
  dns: EmbeddedDns;
  resolvConf: string;
  socketPath: string;
  /** Those started, the running one last. */
  servers: RunningServer[];
  warnings: string[];
  /** Another daemon's. */
  client(): EmbeddedDns;
  sandbox(): Promise<OpenNamespace>;
}

function bench(idleMs = 60_000): Bench {
  const folder = mkdtempSync(join(tmpdir(), "gantry-dns-"));
  const [socketPath, resolvConf] = [join(folder, "dns.sock"), join(folder, "resolv.conf")];
  writeFileSync(resolvConf, "nameserver 127.0.0.1\n");
  const [servers, warnings, clients, open]: [RunningServer[], string[], EmbeddedDns[], OpenNamespace[]] = [[], [], [], []];
  const start = async (): Promise<void> => void servers.push(await startNameServer({ socketPath, resolvConf, idleMs }));
  const client = (): EmbeddedDns => {
    const dns = createEmbeddedDns({ socketPath, start, warn: (message) => warnings.push(message) });
    clients.push(dns);
    return dns;
  };
  return {
    dns: client(),
    resolvConf,
    socketPath,
    servers,
    warnings,
    client,
    sandbox: async () => {
      const netns = await createSandboxNamespace();
      open.push(netns);
      return netns;
    },
    [Symbol.asyncDispose]: async () => {
      for (const dns of clients) dns.close();
      for (const server of servers) await server.end();
      for (const netns of open) netns.close();
      rmSync(folder, { recursive: true });
    },
  };
}

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);
const idOf = (digit: string): string => digit.repeat(64);
const ENDPOINT = { networkId: "red", endpointId: "e1" };

real("names, aliases, name.network, any case, by datagram and by stream; addresses backwards", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  await b.dns.setEndpoint(ENDPOINT, names("Red", ["Web", "web-alias", "0123456789ab"], "10.1.0.2", "fd00::2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  for (const stream of [false, true]) {
    for (const name of ["web", "WEB", "web-alias", "0123456789ab", "web.red", "Web.RED."]) assert.deepEqual(await lookUp(netns, name, { stream }), ["10.1.0.2"], name);
    assert.deepEqual(await lookUp(netns, "web", { stream, type: "AAAA" }), ["fd00::2"]);
    assert.deepEqual(await lookUp(netns, "web", { stream, type: "MX" }), [], "mail goes to the address");
    assert.deepEqual(await lookUp(netns, "2.0.1.10.in-addr.arpa", { stream, type: "PTR" }), ["Web.Red"]);
    assert.equal(await lookUp(netns, "nobody", { stream }), "SERVFAIL");
  }
  assert.deepEqual(await lookUp(netns, `2.${"0.".repeat(27)}0.0.d.f.ip6.arpa`, { type: "PTR" }), ["Web.Red"]);
  const { flags, questions } = await ask(netns, "wEb");
  assert.equal(questions?.[0]?.name, "wEb", "the question comes back as it was asked");
  assert.ok((flags ?? 0) & 0x80, "recursion is available");
});

real("a sandbox sees its own networks; links are its own; what changes is answered at once", async () => {
  await using b = bench();
  const [one, two] = [await b.sandbox(), await b.sandbox()];
  await b.dns.setEndpoint({ networkId: "red", endpointId: "e1" }, names("red", ["db"], "10.1.0.2"));
  await b.dns.setEndpoint({ networkId: "blue", endpointId: "e2" }, names("blue", ["db"], "10.2.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: one.fd }, view(["red"]));
  await b.dns.attach({ id: idOf("b"), netnsFd: two.fd }, { ...view(["blue", "red"]), networks: [{ networkId: "blue", links: { Store: "db" } }, { networkId: "red", links: {} }] });
  assert.deepEqual(await lookUp(one, "db"), ["10.1.0.2"]);
  assert.deepEqual(await lookUp(two, "db"), ["10.2.0.2"], "the first network of the view");
  assert.deepEqual(await lookUp(two, "db.red"), ["10.1.0.2"]);
  assert.equal(await lookUp(one, "db.blue"), "SERVFAIL", "another network's");
  assert.deepEqual(await lookUp(two, "store"), ["10.2.0.2"]);
  assert.equal(await lookUp(one, "store"), "SERVFAIL", "another sandbox's link");
  await b.dns.setView(idOf("a"), view(["blue"]));
  assert.deepEqual(await lookUp(one, "db"), ["10.2.0.2"]);
  await b.dns.setEndpoint({ networkId: "blue", endpointId: "e2" }, undefined);
  assert.equal(await lookUp(one, "db"), "SERVFAIL");
});

real("several endpoints of one name take turns", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  for (const n of [2, 3, 4]) await b.dns.setEndpoint({ networkId: "red", endpointId: `e${n}` }, names("red", [`c${n}`, "all"], `10.1.0.${n}`));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  const firsts = new Set<string>();
  for (let round = 0; round < 3; round++) {
    const addresses = await lookUp(netns, "all");
    assert.deepEqual([...addresses].sort(), ["10.1.0.2", "10.1.0.3", "10.1.0.4"]);
    firsts.add(addresses[0]!);
  }
  assert.equal(firsts.size, 3);
});

real("an answer that does not fit is cut and marked; EDNS and TCP carry it", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  for (let n = 1; n <= 100; n++) await b.dns.setEndpoint({ networkId: "red", endpointId: `e${n}` }, names("red", ["many"], `10.1.0.${n}`));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  const cut = await ask(netns, "many");
  assert.ok(cut.flag_tc);
  assert.ok(cut.answers!.length > 10 && cut.answers!.length < 100);
  const whole = await ask(netns, "many", { edns: 4096 });
  assert.deepEqual([whole.flag_tc, whole.answers!.length, whole.additionals!.length], [false, 100, 1]);
  assert.equal((await ask(netns, "many", { stream: true })).answers!.length, 100);
});

real("a container's own server may have port 53 of every address", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  const own = await fakeServer(netns, "0.0.0.0", "192.0.2.53");
  assert.deepEqual(await lookUp(netns, "web", { server: "127.0.0.1" }), ["192.0.2.53"]);
  for (const stream of [false, true]) assert.deepEqual(await lookUp(netns, "web", { stream }), ["10.1.0.2"]);
  own.close();
});

real("other names are asked of the sandbox's servers, from the sandbox; internal networks ask nobody", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  const upstream = await fakeServer(netns, "127.0.0.53", "192.0.2.7");
  const attached = view(["red"], { forward: true, upstreams: [parseIp("127.0.0.11")!, parseIp("127.0.0.53")!] });
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, attached);
  for (const stream of [false, true]) assert.deepEqual(await lookUp(netns, "example.test", { stream }), ["192.0.2.7"]);
  await b.dns.setEndpoint(ENDPOINT, names("red", ["six"], "fd00::2"));
  assert.deepEqual(await lookUp(netns, "six"), [], "a name that is known is not asked elsewhere for what it has not");
  await b.dns.setView(idOf("a"), { ...attached, options: ["ndots:1", "ndots:2"] });
  assert.deepEqual(await lookUp(netns, "bare"), [], "bare names are the search list's");
  await b.dns.setView(idOf("a"), { ...attached, forward: false });
  assert.equal(await lookUp(netns, "secret.test"), "SERVFAIL");
  assert.deepEqual(upstream.asked, ["example.test", "example.test"]);
  upstream.close();
});

real("a silent server costs less than a second once, a refusing one nothing, and then the other is asked first", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  const [first, second] = [await fakeServer(netns, "127.0.0.53", "192.0.2.1"), await fakeServer(netns, "127.0.0.54", "192.0.2.2")];
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view([], { forward: true, upstreams: [parseIp("127.0.0.53")!, parseIp("127.0.0.54")!] }));
  first.mode = "silent";
  assert.deepEqual(await lookUp(netns, "one.test"), ["192.0.2.2"]);
  assert.deepEqual(await lookUp(netns, "two.test"), ["192.0.2.2"]);
  assert.deepEqual(first.asked, ["one.test"], "what answered last is asked first");
  second.mode = "refuse";
  first.mode = "answer";
  assert.deepEqual(await lookUp(netns, "three.test"), ["192.0.2.1"]);
  first.mode = "refuse";
  assert.equal(await lookUp(netns, "four.test"), "REFUSED", "what they said when none helps");
  first.close();
  second.close();
  assert.equal(await lookUp(netns, "five.test"), "SERVFAIL", "nobody listens");
});

real("the host's servers are asked from the host, as its resolv.conf says now", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  const host = { fd: -1 };
  const address = `127.${1 + (process.pid % 250)}.${1 + ((process.pid >> 8) % 250)}`;
  const [one, two] = [await fakeServer(host, `${address}.1`, "192.0.2.1"), await fakeServer(host, `${address}.2`, "192.0.2.2")];
  writeFileSync(b.resolvConf, `nameserver ${address}.1\n`);
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view([], { forward: true }));
  assert.deepEqual(await lookUp(netns, "a.test"), ["192.0.2.1"]);
  writeFileSync(b.resolvConf, `search x\nnameserver ${address}.2\n`);
  await eventually(async () => assert.deepEqual(await lookUp(netns, "b.test"), ["192.0.2.2"]));
  one.close();
  two.close();
});

real("questions that nobody can read, many at once, and slow clients leave the others answered", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  const two = Buffer.from("0001010000020000000000000377656200000100010377656200000100 01".replaceAll(" ", ""), "hex");
  assert.equal((await exchangeRaw(netns, two)).readUInt16BE(2) & 15, 1, "two questions are a format error");
  assert.equal((await exchangeRaw(netns, Buffer.from("000128000001000000000000037765620000010001", "hex"))).readUInt16BE(2) & 15, 4, "an update is not implemented");
  const slow = Array.from({ length: 200 }, () => connectIn(netns, "127.0.0.11", 53).on("error", () => {}));
  for (const socket of slow) socket.write(Buffer.of(0));
  assert.deepEqual(await lookUp(netns, "web", { stream: true }), ["10.1.0.2"], "idle connections give way");
  const large = connectIn(netns, "127.0.0.11", 53).on("error", () => {});
  large.write(Buffer.of(0xff, 0xff));
  await new Promise((resolve) => large.once("close", resolve));
  for (const socket of slow) socket.destroy();
});

real("a flood from one sandbox, of names known and unknown, leaves the others answered", async () => {
  await using b = bench();
  const [flooding, other] = [await b.sandbox(), await b.sandbox()];
  const upstream = await fakeServer(flooding, "127.0.0.53", "192.0.2.1");
  upstream.mode = "silent";
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: flooding.fd }, view(["red"], { forward: true, upstreams: [parseIp("127.0.0.53")!] }));
  await b.dns.attach({ id: idOf("b"), netnsFd: other.fd }, view(["red"]));
  const socket = createSocket("udp4");
  socket.bind({ fd: netSocket({ netns: flooding.fd, kind: "datagram", action: "none", address: LOOPBACK, port: 0 }) });
  let failures = 0;
  socket.on("message", (answer) => void ((answer[3]! & 15) === 2 && failures++));
  for (let round = 0; round < 20; round++) {
    for (let count = 0; count < 100; count++) {
      const name = count % 2 === 0 ? "web" : `unknown-${round}-${count}.test`;
      socket.send(packet.encode({ type: "query", id: count, questions: [{ type: "A", name }] }), 53, "127.0.0.11", () => {});
    }
    assert.deepEqual(await lookUp(other, "web"), ["10.1.0.2"]);
  }
  assert.ok(failures > 0, "beyond its share, questions for others fail at once");
  assert.ok(new Set(upstream.asked).size <= 256, "and are not asked");
  socket.close();
  upstream.close();
});

test("a server of another version is told to end, and replaced", { skip: cannotUnshare }, async () => {
  await using b = bench();
  const netns = await b.sandbox();
  const told: string[] = [];
  const old = process.getBuiltinModule("node:net").createServer((socket) => {
    const reader = new LineReader<NumberedRequest>(({ serial, op }) => {
      told.push(op);
      if (op !== "end") return void socket.write(line({ serial, version: "of old" }));
      old.close();
      socket.end();
    });
    socket.on("data", (data: Buffer) => reader.push(data));
  });
  await new Promise<void>((resolve) => old.listen(b.socketPath, resolve));
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  assert.deepEqual(told, ["hello", "end"]);
  assert.deepEqual(await lookUp(netns, "web"), ["10.1.0.2"]);
});

real("a loop of forwarders ends", async () => {
  await using b = bench();
  const [one, two] = [await b.sandbox(), await b.sandbox()];
  // Each asks a relay in its sandbox that asks the other's server.
  const relays = [relay(one, two), relay(two, one)];
  const upstreams = [parseIp("127.0.0.53")!];
  await b.dns.attach({ id: idOf("a"), netnsFd: one.fd }, view([], { forward: true, upstreams }));
  await b.dns.attach({ id: idOf("b"), netnsFd: two.fd }, view([], { forward: true, upstreams }));
  assert.equal(await lookUp(one, "loop.test"), "SERVFAIL");
  assert.ok(relays.every(({ count }) => count() < 1000), relays.map(({ count }) => count()).join(", "));
  for (const { close } of relays) close();
});

/** Passes each datagram to 127.0.0.53 in one namespace on to the embedded server of another. */
function relay(at: OpenNamespace, to: OpenNamespace): { count: () => number; close: () => void } {
  const { createSocket } = process.getBuiltinModule("node:dgram");
  const inner = createSocket("udp4");
  let count = 0;
  let open = true;
  inner.on("message", (message, from) => {
    count++;
    exchangeRaw(to, Buffer.from(message)).then((answer) => void (open && inner.send(answer, from.port, from.address, () => {})), () => {});
  });
  inner.bind({ fd: netSocket({ netns: at.fd, kind: "datagram", action: "bind", address: parseIp("127.0.0.53")!, port: 53 }) });
  return { count: () => count, close: () => void ((open = false), inner.close()) };
}

real("limits are refused where no firewall rules may be made", async () => {
  const dns = createEmbeddedDns({ socketPath: "/nonexistent/dns.sock", start: () => Promise.reject(new Error("not needed")), firewall: false, warn: () => {} });
  const limited = view(["red"], { egress: { sources: [], rules: ["allow=a"], owner: { containerId: "", networkId: "", networkName: "" } } });
  await assert.rejects(dns.attach({ id: idOf("a"), netnsFd: 0 }, limited), /--iptables=false/);
});

real("another daemon takes the server up, and says what is gone", async () => {
  await using b = bench();
  const [stays, goes] = [await b.sandbox(), await b.sandbox()];
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: stays.fd }, view(["red"]));
  await b.dns.attach({ id: idOf("b"), netnsFd: goes.fd }, view(["red"]));
  b.dns.close();
  assert.deepEqual(await lookUp(stays, "web"), ["10.1.0.2"], "while there is no daemon");
  const next = b.client();
  await next.restore({ endpoints: [{ ...ENDPOINT, names: names("red", ["web"], "10.1.0.9") }], sandboxes: [{ sandbox: { id: idOf("a"), netnsFd: stays.fd }, view: view(["red"]) }] });
  assert.deepEqual(await lookUp(stays, "web"), ["10.1.0.9"]);
  await assert.rejects(lookUp(goes, "web", { stream: true }), /ECONNREFUSED/);
  assert.equal(b.servers.length, 1);
});

real("a server that ended is replaced and knows everything again", async () => {
  await using b = bench();
  const netns = await b.sandbox();
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  await b.servers[0]!.end();
  await b.dns.setEndpoint({ networkId: "red", endpointId: "e2" }, names("red", ["db"], "10.1.0.3"));
  await until("another one", () => b.servers.length === 2);
  await eventually(async () => assert.deepEqual([await lookUp(netns, "web", { stream: true }), await lookUp(netns, "db", { stream: true })], [["10.1.0.2"], ["10.1.0.3"]]));
  assert.match(b.warnings.join("\n"), /another one is started/);
});

real("it serves nobody, it ends; the next sandbox has a new one", async () => {
  await using b = bench(1000);
  const netns = await b.sandbox();
  await b.dns.setEndpoint(ENDPOINT, names("red", ["web"], "10.1.0.2"));
  assert.equal(b.servers.length, 0, "names alone start nothing");
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view(["red"]));
  await b.dns.detach(idOf("a"));
  await b.servers[0]!.ended;
  await b.dns.attach({ id: idOf("b"), netnsFd: netns.fd }, view(["red"]));
  assert.deepEqual(await lookUp(netns, "web"), ["10.1.0.2"]);
  assert.equal(b.servers.length, 2);
});

real("a namespace that is let go of is held by nobody", async () => {
  await using b = bench();
  const netns = await createSandboxNamespace();
  const name = readlinkSync(`/proc/self/fd/${netns.fd}`);
  const holders = (): number => readdirSync("/proc/self/fd").filter((fd) => linkOf(fd) === name).length;
  await b.dns.attach({ id: idOf("a"), netnsFd: netns.fd }, view([]));
  assert.ok(holders() > 1);
  await b.dns.detach(idOf("a"));
  assert.equal(holders(), 1);
  netns.close();
  closeSync(netSocket({ netns: -1, kind: "datagram", action: "none", address: LOOPBACK, port: 0 }));
});

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
