/** Connecting and giving back, with drivers of the test's own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ContainerRecord } from "../../core/container.ts";
import type { Ipam } from "../../core/ipam.ts";
import { codeOf } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { formatIp, parsePrefix } from "../../lib/ip.ts";
import { bench, countingIpam, record } from "./networks.testing.ts";
import { listNetworks } from "./operations.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("bridge: a namespace, an address, the endpoint as inspect shows it, files, one event each way", async (t) => {
  const { open, joins, events, closedSandboxes, leaves } = bench(t);
  const networks = await open();
  const sandbox = await networks.connect(record("c1"));
  const { id } = networks.find("bridge");
  assert.equal(sandbox.netnsFd, joins[0]!.sandbox.fd);
  assert.match(sandbox.network!.endpoints[0]!.endpointId, /^[0-9a-f]{64}$/);
  assert.match(sandbox.network!.sandboxId, /^[0-9a-f]{64}$/);
  const { networkName, networkId, ipAddress, prefixLength, gateway, macAddress } = sandbox.network!.endpoints[0]!;
  assert.deepEqual({ networkName, networkId, ipAddress, prefixLength, gateway, macAddress }, { networkName: "bridge", networkId: id, ipAddress: "172.17.0.2", prefixLength: 16, gateway: "172.17.0.1", macAddress: "02:42:00:00:00:01" });
  assert.match(readFileSync(sandbox.files!.hosts, "utf8"), /172\.17\.0\.2\tc1\n$/);
  assert.equal(readFileSync(sandbox.files!.hostname, "utf8"), "c1\n");
  assert.match(readFileSync(sandbox.files!.resolvConf, "utf8"), /nameserver 192\.0\.2\.53/);
  networks.started(record("c1"));
  assert.deepEqual(closedSandboxes, [sandbox.netnsFd], "only the container's processes hold the namespace from now on");
  assert.deepEqual(networks.find("bridge").endpoints, [{ container: "c1", endpoint: sandbox.network!.endpoints[0]!.endpointId, addresses: [parsePrefix("172.17.0.2/16")!], mac: "02:42:00:00:00:01" }]);
  await networks.disconnect(record("c1"));
  await networks.disconnect(record("c1"));
  assert.deepEqual(leaves, [{ networkId: id, endpointId: sandbox.network!.endpoints[0]!.endpointId }]);
  assert.deepEqual(events.map(({ type, action, actor }) => [type, action, actor]), ["connect", "disconnect"].map((action) => ["network", action, { id, attributes: { container: "c1", name: "bridge", type: "bridge" } }]));
});

test("further bridges of a network are told of where its driver has some", async (t) => {
  const { open, options } = bench(t);
  const networks = await open({ drivers: { ...options.drivers, bridge: Object.assign(options.drivers.bridge, { furtherBridges: () => ["gb1"] }) } });
  assert.deepEqual(["bridge", "none"].map((name) => networks.find(name).furtherBridges), [["gb1"], []]);
});

test("an address is free again when its interface is gone, and not before", async (t) => {
  const { open, vanish } = bench(t);
  const networks = await open();
  await networks.connect(record("c1"));
  await networks.disconnect(record("c1"));
  assert.equal((await networks.connect(record("c2"))).network!.endpoints[0]!.ipAddress, "172.17.0.3");
  vanish();
  await settle();
  assert.equal((await networks.connect(record("c3"))).network!.endpoints[0]!.ipAddress, "172.17.0.2");
});

test("with the last address on its way back, a start waits for it; with none it fails", async (t) => {
  const { open, vanish } = bench(t);
  const networks = await open({ ipam: countingIpam(2) });
  await networks.connect(record("c1"));
  await assert.rejects(networks.connect(record("c2")), { code: "system", message: /no available IPv4 addresses on this network's address pools: bridge/ });
  await networks.disconnect(record("c1"));
  const waiting = networks.connect(record("c2"));
  await settle();
  vanish();
  assert.equal((await waiting).network!.endpoints[0]!.ipAddress, "172.17.0.2");
});

test("a join that fails gives everything back and tells nobody", async (t) => {
  const made = bench(t);
  const networks = await made.open();
  made.failJoin = true;
  await assert.rejects(networks.connect(record("c1")), /no interface/);
  made.vanish();
  await settle();
  assert.deepEqual(made.events, []);
  assert.equal(made.closedSandboxes.length, 1);
  assert.deepEqual(networks.find("bridge").endpoints, []);
  assert.deepEqual([...(made.options.ipam as ReturnType<typeof countingIpam>).taken].map((value) => formatIp({ family: 4, value })), ["172.17.0.1"], "the gateway's only");
  made.failJoin = false;
  assert.equal((await networks.connect(record("c1"))).network!.endpoints[0]!.ipAddress, "172.17.0.2");
});

test("host: no namespace, the host's own files; with extra hosts a file of its own", async (t) => {
  const { open, joins } = bench(t);
  const networks = await open();
  const sandbox = await networks.connect(record("c1", "host"));
  assert.equal(sandbox.netnsFd, undefined);
  assert.equal(joins.length, 0);
  assert.equal(sandbox.network!.endpoints[0]!.networkName, "host");
  assert.equal(sandbox.network!.endpoints[0]!.ipAddress, "");
  assert.equal(readFileSync(sandbox.files!.hosts, "utf8"), "10.0.0.9\tthe-host\n");
  const other = record("c2", "host");
  other.hostConfig.ExtraHosts = ["x:10.1.1.1"];
  assert.equal(readFileSync((await networks.connect(other)).files!.hosts, "utf8").split("\n").length, 8);
});

test("none, and a container without network: the runtime makes the namespace", async (t) => {
  const { open } = bench(t);
  const networks = await open();
  const sandbox = await networks.connect(record("c1", "none"));
  assert.equal(sandbox.netnsFd, undefined);
  assert.equal(sandbox.network!.endpoints[0]!.ipAddress, "");
  assert.equal(readFileSync(sandbox.files!.hosts, "utf8").split("\n").length - 1, 6);
  const disabled = record("c2");
  disabled.config.NetworkDisabled = true;
  assert.equal((await networks.connect(disabled)).network!.endpoints[0]!.networkName, "none");
});

test("container:ID: the other's namespace and files, or Docker's words why not", async (t) => {
  const { open, root } = bench(t);
  let state: ContainerRecord["state"] = { status: "running", pid: 4711, startedAt: 1n };
  const networks = await open({ findContainer: (ref) => (ref === "base" ? record("base-id", "bridge", { name: "base", state }) : record("self", "container:self")) });
  const sandbox = await networks.connect(record("c1", "container:base"));
  assert.deepEqual(sandbox, { netnsPath: "/proc/4711/ns/net", files: { hosts: join(root, "base-id", "hosts"), hostname: join(root, "base-id", "hostname"), resolvConf: join(root, "base-id", "resolv.conf") } });
  await networks.disconnect(record("c1", "container:base"));
  state = { status: "created" };
  await assert.rejects(networks.connect(record("c1", "container:base")), (error) => codeOf(error) === "conflict" && String(error).includes("cannot join network namespace of a non running container: container base is created"));
  await assert.rejects(networks.connect(record("self", "container:self")), /cannot join own network namespace/);
});

test("a network that is not there, and no default bridge", async (t) => {
  const { open, options } = bench(t);
  await assert.rejects((await open()).connect(record("c1", "parity-none")), (error) => codeOf(error) === "not-found" && String(error).includes("network parity-none not found"));
  delete options.defaultBridge;
  const networks = await open();
  assert.deepEqual(networks.list().map(({ name }) => name), ["host", "none"]);
  assert.deepEqual((await networks.connect(record("c1"))).network?.endpoints.map(({ networkName }) => networkName), ["none"]);
});

test("own DNS settings, MAC address and host-gateway are used", async (t) => {
  const { open, joins } = bench(t);
  const networks = await open({ dns: { servers: ["10.0.0.1"], search: ["daemon.test"], options: [] } });
  const asked = record("c1");
  asked.hostConfig.DnsSearch = ["own.test"];
  asked.hostConfig.ExtraHosts = ["gw:host-gateway"];
  asked.networkingConfig = { EndpointsConfig: { bridge: { MacAddress: "02:42:00:00:00:05" } as never } };
  const sandbox = await networks.connect(asked);
  assert.deepEqual([...joins[0]!.mac!], [2, 66, 0, 0, 0, 5]);
  const resolv = readFileSync(sandbox.files!.resolvConf, "utf8");
  assert.match(resolv, /nameserver 10\.0\.0\.1\nsearch own\.test\n/);
  assert.match(readFileSync(sandbox.files!.hosts, "utf8"), /172\.17\.0\.1\tgw\n/);
});

test("after a restart: same ids and subnet, addresses of running containers kept, the others' given back", async (t) => {
  const made = bench(t);
  const first = await made.open();
  const [a, b] = [await first.connect(record("a")), await first.connect(record("b"))];
  const ids = first.list().map(({ id }) => id);
  const ipam = countingIpam();
  const second = await made.open({ ipam });
  assert.deepEqual(second.list().map(({ id }) => id), ids);
  assert.deepEqual(made.recovered.at(-1)!.map(({ endpointId }) => endpointId).sort(), [a.network!.endpoints[0]!.endpointId, b.network!.endpoints[0]!.endpointId].sort());
  assert.equal((await second.connect(record("c"))).network!.endpoints[0]!.ipAddress, "172.17.0.4");
  await second.collect((id) => id !== "b");
  made.vanish();
  await settle();
  assert.equal((await second.connect(record("d"))).network!.endpoints[0]!.ipAddress, "172.17.0.3");
  assert.deepEqual(second.find("bridge").endpoints.map(({ container }) => container).sort(), ["a", "c", "d"]);
});

test("the recorded subnet is kept, unless the host routes it by now", async (t) => {
  const made = bench(t);
  const subnets: (string | undefined)[] = [];
  const ipam: Ipam = { ...countingIpam(), requestPool: async (request) => (subnets.push(request.subnet && formatIp(request.subnet.address)), { id: "p", subnet: request.subnet ?? parsePrefix("172.19.0.0/16")! }), requestAddress: async (_pool, preferred) => ({ address: preferred!, length: 16 }) };
  const settings = made.options.defaultBridge!;
  const warnings: string[] = [];
  const again = (more: Partial<typeof settings>) => made.open({ ipam, defaultBridge: { ...settings, ...more }, warn: (message) => void warnings.push(message) });
  await again({});
  await again({});
  await again({ avoid: [parsePrefix("172.19.5.0/24")!] });
  await again({ present: { 4: [parsePrefix("10.5.0.1/24")!], 6: [] } });
  await again({ present: { 4: [parsePrefix("10.5.0.1/24")!], 6: [] }, bip: parsePrefix("10.6.0.1/24")! });
  await again({ bip: parsePrefix("10.6.0.1/24")!, fixedCidr: parsePrefix("10.6.0.128/25")! });
  assert.deepEqual(subnets, [undefined, "172.19.0.0", undefined, "10.5.0.0", "10.6.0.0", "10.6.0.0"]);
  assert.match(warnings[0]!, /overlaps the host's route to 172\.19\.5\.0\/24/);
  await assert.rejects(again({ bip: parsePrefix("10.6.0.1/24")!, fixedCidr: parsePrefix("10.7.0.0/25")! }), /--fixed-cidr 10\.7\.0\.0\/25 is not inside the bridge's subnet 10\.6\.0\.0\/24/);
});

test("finding: by name, id, beginning of an id; Docker's words for others", async (t) => {
  const networks = await bench(t).open();
  const { id } = networks.find("host");
  assert.equal(networks.find(id).name, "host");
  assert.equal(networks.find(id.slice(0, 12)).name, "host");
  for (const ref of ["nosuch", ""]) assert.throws(() => networks.find(ref), (error) => codeOf(error) === "not-found" && String(error).includes(`network ${ref} not found`));
  assert.deepEqual(networks.drivers(), ["bridge", "host", "null"]);
});

test("list filters", async (t) => {
  const networks = await bench(t).open();
  const names = (filters: Record<string, string[]>) => listNetworks(networks, parseFilters(JSON.stringify(filters))).map(({ name }) => name);
  assert.deepEqual(names({}), ["bridge", "host", "none"]);
  assert.deepEqual(names({ name: ["ost"] }), ["host"]);
  assert.deepEqual(names({ driver: ["null", "host"] }), ["host", "none"]);
  assert.deepEqual(names({ id: [networks.find("none").id.slice(3, 20)] }), ["none"]);
  assert.deepEqual(names({ type: ["custom"] }), []);
  assert.deepEqual(names({ type: ["builtin"], scope: ["local"] }), ["bridge", "host", "none"]);
  assert.deepEqual(names({ label: ["a"] }), []);
  assert.deepEqual(names({ dangling: ["true"] }), []);
  assert.deepEqual(names({ dangling: ["0"] }), ["bridge", "host", "none"]);
  assert.throws(() => names({ type: ["nosuch"] }), (error) => codeOf(error) === "system" && String(error).includes("invalid filter: 'type'='nosuch'"));
  assert.throws(() => names({ dangling: ["x"] }), /invalid value for filter 'dangling', must be "true" \(or "1"\), or "false" \(or "0"\)/);
  assert.throws(() => names({ nosuch: ["x"] }), /invalid filter 'nosuch'/);
});
