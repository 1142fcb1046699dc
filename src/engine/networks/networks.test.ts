/** Connecting and giving back, with drivers of the test's own. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { ContainerRecord } from "../../core/container.ts";
import { emptyConfig, emptyHostConfig } from "../../core/container-config.ts";
import type { EngineEvent } from "../../core/events.ts";
import type { Ipam } from "../../core/ipam.ts";
import type { EndpointReference, JoinRequest, NetworkDriver, SandboxNamespace } from "../../core/network.ts";
import { GantryError, codeOf } from "../../lib/errors.ts";
import { Filters, parseFilters } from "../../lib/filters.ts";
import { formatIp, parsePrefix } from "../../lib/ip.ts";
import { openDatabase } from "../../sys/database.ts";
import { createNetworks } from "./networks.ts";
import type { Networks, NetworksOptions } from "./networks.ts";
import { changeConnection, createNetwork, inspectNetwork, listNetworks, pruneNetworks, removeNetwork } from "./operations.ts";
import { networkMigrations } from "./store.ts";

/** Addresses .2, .3, ... of whatever subnet. */
function countingIpam(size = 250): Ipam & { taken: Set<bigint> } {
  const taken = new Set<bigint>();
  const subnet = parsePrefix("172.17.0.0/16")!;
  return {
    taken,
    id: "counting",
    requestPool: async (request) => ({ id: "p", subnet: request.subnet ?? subnet }),
    releasePool: async () => {},
    requestAddress: async (_pool, preferred) => {
      const value = preferred?.value ?? Array.from({ length: size }, (_, index) => subnet.address.value + BigInt(index + 1)).find((candidate) => !taken.has(candidate));
      if (value === undefined) throw new GantryError("unavailable", "no address");
      taken.add(value);
      return { address: { family: 4, value }, length: 16 };
    },
    releaseAddress: async (_pool, address) => void taken.delete(address.value),
  };
}

interface Bench {
  options: NetworksOptions;
  open(overrides?: Partial<NetworksOptions>): Promise<Networks>;
  joins: JoinRequest[];
  leaves: EndpointReference[];
  recovered: EndpointReference[][];
  events: EngineEvent[];
  closedSandboxes: number[];
  /** Resolves the pending leaves. */
  vanish(): void;
  failJoin: boolean;
  root: string;
}

function bench(t: TestContext): Bench {
  const root = mkdtempSync(join(tmpdir(), "gantry-net-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  writeFileSync(join(root, "hosts"), "10.0.0.9\tthe-host\n");
  writeFileSync(join(root, "resolv.conf"), "nameserver 192.0.2.53\n");
  const made: Bench = { joins: [], leaves: [], recovered: [], events: [], closedSandboxes: [], failJoin: false, root, vanish: () => pending.splice(0).forEach((resolve) => resolve()), open: async () => createNetworks(made.options) } as unknown as Bench;
  const pending: (() => void)[] = [];
  let fd = 10;
  const createSandbox = async (): Promise<SandboxNamespace> => {
    const own = fd++;
    return { fd: own, close: () => void (made.closedSandboxes.includes(own) || made.closedSandboxes.push(own)) };
  };
  const plain = (id: string, sandbox: "bare" | "own" | "host"): NetworkDriver => ({ id, capabilities: { sandbox, addresses: false, scope: "local" }, validate: () => {}, createNetwork: async () => {}, deleteNetwork: async () => {}, join: async () => ({ mac: new Uint8Array() }), leave: async () => {}, close: async () => {} });
  const bridge: NetworkDriver & { recover(endpoints: readonly EndpointReference[]): Promise<void> } = {
    ...plain("bridge", "own"),
    capabilities: { sandbox: "own", addresses: true, scope: "local" },
    join: async (request) => {
      if (made.failJoin) throw new Error("no interface");
      made.joins.push(request);
      return { mac: request.mac ?? Uint8Array.of(2, 66, 0, 0, 0, made.joins.length) };
    },
    leave: (endpoint) => {
      made.leaves.push(endpoint);
      return new Promise((resolve) => pending.push(resolve));
    },
    recover: async (endpoints) => void made.recovered.push([...endpoints]),
  };
  made.options = {
    database: openDatabase(join(root, "state.db"), networkMigrations),
    drivers: { bridge, host: plain("host", "host"), null: plain("null", "bare") },
    ipam: countingIpam(),
    createSandbox,
    defaultBridge: { name: "docker0", mtu: 0, masquerade: true, icc: true, avoid: [] },
    events: { emit: (event) => void made.events.push(event) },
    findContainer: (ref) => {
      throw new GantryError("not-found", `No such container: ${ref}`);
    },
    containerFolder: (id) => join(root, id),
    hostFiles: { hosts: join(root, "hosts"), resolvConf: join(root, "resolv.conf"), ipv6: true },
    dns: { servers: [], search: [], options: [] },
    hostGateways: [],
    warn: (message) => assert.fail(message),
  };
  made.open = (overrides = {}) => createNetworks({ ...made.options, ...overrides });
  return made;
}

function record(id: string, networkMode = "bridge", more: Partial<ContainerRecord> = {}): ContainerRecord {
  const hostConfig = { ...emptyHostConfig(), NetworkMode: networkMode };
  return { id, name: id, createdAt: 0n, imageId: "", imageRef: "", config: { ...emptyConfig(), Hostname: id }, hostConfig, networkingConfig: { EndpointsConfig: null }, storageDriver: "", mounts: [], state: { status: "created" }, restartCount: 0, stoppedByUser: false, ...more };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("bridge: a namespace, an address, the endpoint as inspect shows it, files, one event each way", async (t) => {
  const { open, joins, events, closedSandboxes, leaves } = bench(t);
  const networks = await open();
  const sandbox = await networks.connect(record("c1"));
  const { id } = networks.find("bridge");
  assert.equal(sandbox.netnsFd, joins[0]!.sandbox.fd);
  assert.match(sandbox.endpoint!.endpointId, /^[0-9a-f]{64}$/);
  assert.match(sandbox.endpoint!.sandboxId, /^[0-9a-f]{64}$/);
  const { networkName, networkId, ipAddress, prefixLength, gateway, macAddress } = sandbox.endpoint!;
  assert.deepEqual({ networkName, networkId, ipAddress, prefixLength, gateway, macAddress }, { networkName: "bridge", networkId: id, ipAddress: "172.17.0.2", prefixLength: 16, gateway: "172.17.0.1", macAddress: "02:42:00:00:00:01" });
  assert.match(readFileSync(sandbox.files!.hosts, "utf8"), /172\.17\.0\.2\tc1\n$/);
  assert.equal(readFileSync(sandbox.files!.hostname, "utf8"), "c1\n");
  assert.match(readFileSync(sandbox.files!.resolvConf, "utf8"), /nameserver 192\.0\.2\.53/);
  networks.started(record("c1"));
  assert.deepEqual(closedSandboxes, [sandbox.netnsFd], "only the container's processes hold the namespace from now on");
  assert.deepEqual(networks.find("bridge").endpoints, [{ container: "c1", endpoint: sandbox.endpoint!.endpointId, address: "172.17.0.2/16", mac: "02:42:00:00:00:01" }]);
  await networks.disconnect(record("c1"));
  await networks.disconnect(record("c1"));
  assert.deepEqual(leaves, [{ networkId: id, endpointId: sandbox.endpoint!.endpointId }]);
  assert.deepEqual(events.map(({ type, action, actor }) => [type, action, actor]), ["connect", "disconnect"].map((action) => ["network", action, { id, attributes: { container: "c1", name: "bridge", type: "bridge" } }]));
});

test("an address is free again when its interface is gone, and not before", async (t) => {
  const { open, vanish } = bench(t);
  const networks = await open();
  await networks.connect(record("c1"));
  await networks.disconnect(record("c1"));
  assert.equal((await networks.connect(record("c2"))).endpoint!.ipAddress, "172.17.0.3");
  vanish();
  await settle();
  assert.equal((await networks.connect(record("c3"))).endpoint!.ipAddress, "172.17.0.2");
});

test("with the last address on its way back, a start waits for it; with none it fails", async (t) => {
  const { open, vanish } = bench(t);
  const networks = await open({ ipam: countingIpam(2) });
  await networks.connect(record("c1"));
  await assert.rejects(networks.connect(record("c2")), (error) => codeOf(error) === "unavailable");
  await networks.disconnect(record("c1"));
  const waiting = networks.connect(record("c2"));
  await settle();
  vanish();
  assert.equal((await waiting).endpoint!.ipAddress, "172.17.0.2");
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
  assert.equal((await networks.connect(record("c1"))).endpoint!.ipAddress, "172.17.0.2");
});

test("host: no namespace, the host's own files; with extra hosts a file of its own", async (t) => {
  const { open, joins } = bench(t);
  const networks = await open();
  const sandbox = await networks.connect(record("c1", "host"));
  assert.equal(sandbox.netnsFd, undefined);
  assert.equal(joins.length, 0);
  assert.equal(sandbox.endpoint!.networkName, "host");
  assert.equal(sandbox.endpoint!.ipAddress, "");
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
  assert.equal(sandbox.endpoint!.ipAddress, "");
  assert.equal(readFileSync(sandbox.files!.hosts, "utf8").split("\n").length - 1, 6);
  const disabled = record("c2");
  disabled.config.NetworkDisabled = true;
  assert.equal((await networks.connect(disabled)).endpoint!.networkName, "none");
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
  await assert.rejects(networks.connect(record("c1")), /network bridge not found/);
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
  assert.deepEqual(made.recovered.at(-1)!.map(({ endpointId }) => endpointId).sort(), [a.endpoint!.endpointId, b.endpoint!.endpointId].sort());
  assert.equal((await second.connect(record("c"))).endpoint!.ipAddress, "172.17.0.4");
  await second.collect((id) => id !== "b");
  made.vanish();
  await settle();
  assert.equal((await second.connect(record("d"))).endpoint!.ipAddress, "172.17.0.3");
  assert.deepEqual(second.find("bridge").endpoints.map(({ container }) => container).sort(), ["a", "c", "d"]);
});

test("the recorded subnet is kept, unless the host routes it by now", async (t) => {
  const made = bench(t);
  const subnets: (string | undefined)[] = [];
  const ipam: Ipam = { ...countingIpam(), requestPool: async (request) => (subnets.push(request.subnet && formatIp(request.subnet.address)), { id: "p", subnet: request.subnet ?? parsePrefix("172.19.0.0/16")! }) };
  const settings = made.options.defaultBridge!;
  const warnings: string[] = [];
  const again = (more: Partial<typeof settings>) => made.open({ ipam, defaultBridge: { ...settings, ...more }, warn: (message) => void warnings.push(message) });
  await again({});
  await again({});
  await again({ avoid: [parsePrefix("172.19.5.0/24")!] });
  await again({ present: parsePrefix("10.5.0.1/24")! });
  await again({ present: parsePrefix("10.5.0.1/24")!, bip: parsePrefix("10.6.0.1/24")! });
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
  assert.deepEqual(networks.subnetsOf("default"), networks.subnetsOf("bridge"));
  assert.deepEqual(networks.subnetsOf("host"), []);
  assert.equal(networks.subnetsOf("nosuch"), undefined);
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

test("what changes networks is refused in Docker's words, or as not implemented by name", async (t) => {
  const networks = await bench(t).open();
  const refusal = (run: () => unknown): [string, string] => {
    try {
      run();
    } catch (error) {
      return [codeOf(error), (error as Error).message];
    }
    return ["", ""];
  };
  const creation = (name: string) => ({ name, driver: "", scope: "", ingress: false });
  assert.deepEqual(refusal(() => createNetwork(creation(" "))), ["invalid-parameter", "invalid name: name is empty"]);
  assert.deepEqual(refusal(() => createNetwork(creation("bridge"))), ["forbidden", "operation is not permitted on predefined bridge network "]);
  assert.equal(refusal(() => createNetwork(creation("mine")))[0], "not-implemented");
  assert.match(refusal(() => createNetwork(creation("mine")))[1], /network "mine"/);
  for (const asked of [{ driver: "overlay" }, { scope: "swarm" }, { ingress: true }]) assert.equal(refusal(() => createNetwork({ ...creation("mine"), ...asked }))[0], "forbidden");
  assert.deepEqual(refusal(() => removeNetwork(networks, "host")), ["forbidden", "host is a pre-defined network and cannot be removed"]);
  assert.deepEqual(refusal(() => removeNetwork(networks, "nosuch")), ["not-found", "network nosuch not found"]);
  assert.equal(refusal(() => changeConnection(networks, "bridge", "connect"))[0], "not-implemented");
  assert.equal(refusal(() => changeConnection(networks, "nosuch", "disconnect"))[0], "not-found");
  assert.deepEqual(refusal(() => inspectNetwork(networks, "host", "swarm")), ["not-found", "network host not found"]);
  assert.deepEqual(pruneNetworks(new Filters(new Map())), []);
  assert.throws(() => pruneNetworks(parseFilters('{"nosuch":["x"]}')), /invalid filter 'nosuch'/);
});
