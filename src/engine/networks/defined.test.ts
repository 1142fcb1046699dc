/** Networks that users make, and containers in several of them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { endpointSettingsSchema } from "../../core/container-config.ts";
import type { EndpointSettings } from "../../core/container-config.ts";
import type { EndpointNames, NameService, SandboxView } from "../../core/name-service.ts";
import type { NetworkDriver } from "../../core/network.ts";
import type { LeadsOutside } from "../../core/network-ports.ts";
import { createDefaultIpam } from "../../drivers/ipam-default/ipam.ts";
import { codeOf } from "../../lib/errors.ts";
import { Filters, parseFilters } from "../../lib/filters.ts";
import { formatIp } from "../../lib/ip.ts";
import { zero } from "../../lib/schema.ts";
import type { IpamEntry, NetworkCreation } from "./definition.ts";
import { bench, countingIpam, record } from "./networks.testing.ts";
import { inspectNetwork, pruneNetworks } from "./operations.ts";

const creation = (name: string, more: Partial<NetworkCreation> = {}): NetworkCreation => ({ name, driver: "", scope: "", internal: false, attachable: false, ingress: false, ipv4: undefined, ipv6: undefined, ipam: undefined, options: {}, labels: {}, configFrom: "", configOnly: false, ...more });
const subnet = (text: string, more: { range?: string; gateway?: string; aux?: Record<string, string> } = {}) => ({ ipam: { driver: "", options: null, config: [{ subnet: text, range: "", gateway: "", aux: null, ...more }] } });
const settings = (more: Partial<EndpointSettings> = {}): EndpointSettings => ({ ...zero(endpointSettingsSchema), ...more });
const running = { status: "running", pid: process.pid, startedAt: 1n } as const;
const rejection = async (promise: Promise<unknown>): Promise<[string, string]> => promise.then(() => ["", ""], (error: Error) => [codeOf(error), error.message]);

/** Remembers what it was told. */
function nameService(): NameService & { endpoints: Map<string, EndpointNames>; views: Map<string, SandboxView>; calls: string[] } {
  const made = {
    address: "127.0.0.11",
    endpoints: new Map<string, EndpointNames>(),
    views: new Map<string, SandboxView>(),
    calls: [] as string[],
    restore: async ({ endpoints, sandboxes }) => {
      made.calls.push(`restore ${sandboxes.length}`);
      for (const { endpointId, names } of endpoints) made.endpoints.set(endpointId, names);
    },
    setEndpoint: async ({ endpointId }, names) => void (names ? made.endpoints.set(endpointId, names) : made.endpoints.delete(endpointId)),
    attach: async ({ id, netnsFd }, view) => {
      made.calls.push(`attach ${netnsFd}`);
      made.views.set(id, view);
    },
    setView: async (id, view) => void made.views.set(id, view),
    detach: async (id) => void made.views.delete(id),
  } satisfies NameService & Record<string, unknown>;
  return made;
}

test("create: Docker's words for what cannot be, and nothing is left of it", async (t) => {
  const networks = await bench(t).open();
  const create = (name: string, more?: Partial<NetworkCreation>) => rejection(networks.create(creation(name, more)));
  await networks.create(creation("there", subnet("10.5.0.0/24")));
  for (const [name, more, refusal] of [
    [" ", {}, ["invalid-parameter", "invalid name: name is empty"]],
    ["bridge", {}, ["forbidden", "operation is not permitted on predefined bridge network "]],
    ["there", {}, ["conflict", "network with name there already exists"]],
    ["x", { driver: "nosuch" }, ["not-found", 'plugin "nosuch" not found']],
    ["x", { driver: "host" }, ["forbidden", 'only one instance of "host" network is allowed']],
    ["x", { scope: "swarm" }, ["forbidden", "cannot create a swarm scoped network when swarm is not active"]],
    ["x", { ipv4: false }, ["invalid-parameter", "IPv4 or IPv6 must be enabled"]],
    ["x", { configFrom: "nosuch" }, ["not-found", 'configuration network "nosuch" does not exist']],
    ["x", { configFrom: "nosuch", labels: { a: "b" } }, ["forbidden", "user-specified configurations are not supported if the network depends on a configuration network"]],
    ["x", { configFrom: "nosuch", options: { a: "b" } }, ["forbidden", "network driver options are not supported if the network depends on a configuration network"]],
    ["x", { configFrom: "nosuch", configOnly: true }, ["forbidden", "a configuration network cannot depend on another configuration network"]],
    ["x", { configOnly: true, internal: true }, ["forbidden", "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."]],
    ["x", subnet("10.7.0.0/24", { aux: { a: "" } }), ["invalid-parameter", "non parsable secondary ip address (a:invalid IP) passed for network x"]],
    ["x", subnet("10.7.0.9/24"), ["invalid-parameter", "invalid network config:\ninvalid subnet 10.7.0.9/24: it should be 10.7.0.0/24"]],
    ["x", subnet("10.7.0.0/24", { gateway: "10.8.0.1" }), ["invalid-parameter", "invalid network config:\ninvalid gateway 10.8.0.1: parent subnet 10.7.0.0/24 doesn't contain this address"]],
  ] as const) assert.deepEqual(await create(name, more as Partial<NetworkCreation>), refusal);
  assert.deepEqual(networks.list().map(({ name }) => name), ["bridge", "host", "none", "there"]);
});

test("settings are kept, completed with what was chosen, and there again after a restart", async (t) => {
  const { open, events } = bench(t);
  const networks = await open();
  const made = await networks.create(creation("n", { labels: { a: "b" }, options: { "com.docker.network.driver.mtu": "1400" }, internal: true, ...subnet("10.5.0.0/24", { aux: { r: "10.5.0.2" } }) }));
  assert.deepEqual(made.ipam.config, [{ subnet: "10.5.0.0/24", range: "", gateway: "10.5.0.1", aux: { r: "10.5.0.2" } }]);
  assert.deepEqual(events.map(({ action, actor }) => [action, actor.attributes]), [["create", { name: "n", type: "bridge" }]]);
  await networks.create(creation("settings", { configOnly: true, ...subnet("10.6.0.0/24") }));
  assert.deepEqual((await networks.create(creation("taken", { configFrom: "settings" }))).ipam.config.map((entry) => entry.subnet), ["10.6.0.0/24"]);
  assert.deepEqual(await rejection(networks.remove("settings")), ["forbidden", 'error while removing network: configuration network "settings" is in use']);
  const again = await open({ ipam: countingIpam() });
  assert.deepEqual(again.find("n"), made);
  assert.deepEqual(again.list().map(({ name }) => name).sort(), ["bridge", "host", "n", "none", "settings", "taken"]);
});

test("a subnet of a family that is off is not shown, and what was chosen stands behind what was asked for", async (t) => {
  const networks = await bench(t).open();
  const shown = async (name: string, ipv6: boolean): Promise<string[]> => (await networks.create(creation(name, { ipv6, ...subnet("fd00:7::/64") }))).ipam.config.map(({ subnet: text }) => text);
  assert.equal((await shown("off", false)).includes("fd00:7::/64"), false);
  assert.equal((await shown("on", true))[0], "fd00:7::/64");
  assert.equal((await shown("on2", false)).length, 1);
});

test("a container in two networks: two interfaces, one default route, its names told", async (t) => {
  const names = nameService();
  const { open, joins } = bench(t);
  const networks = await open({ names });
  await networks.create(creation("beta", subnet("10.5.0.0/24")));
  await networks.create(creation("alpha", subnet("10.6.0.0/24")));
  const asked = record("c1".repeat(32), "beta", { name: "web", networkingConfig: { EndpointsConfig: { alpha: settings({ Aliases: ["al"], GwPriority: 1 }), beta: settings({ IPAMConfig: { IPv4Address: "10.5.0.9", IPv6Address: "", LinkLocalIPs: null }, Links: ["db:base"] }) } } });
  const { network, files } = await networks.connect(asked);
  assert.deepEqual(network!.endpoints.map(({ networkName, ipAddress }) => [networkName, ipAddress]), [["beta", "10.5.0.9"], ["alpha", "10.6.0.2"]]);
  assert.deepEqual(joins.map(({ interfaceName, slot, gateways }) => [interfaceName, slot, gateways.map(formatIp)]), [["eth0", 0, []], ["eth1", 1, ["10.6.0.1"]]]);
  const [view] = [...names.views.values()];
  assert.deepEqual(view!.networks.map(({ networkId, links }) => [networks.find(networkId).name, links]), [["alpha", {}], ["beta", { base: "db" }]]);
  assert.equal(view!.forward, true);
  assert.deepEqual([...names.endpoints.values()].map((one) => [one.networkName, one.names]), [["beta", ["web", "c1c1c1c1c1c1", "c1".repeat(32)]], ["alpha", ["web", "al", "c1c1c1c1c1c1", "c1".repeat(32)]]]);
  assert.match(readFileSync(files!.resolvConf, "utf8"), /^nameserver 127\.0\.0\.11\noptions ndots:0$/m);
  assert.match(readFileSync(files!.hosts, "utf8"), /10\.5\.0\.9\t.*\n10\.6\.0\.2\t/);
  asked.name = "shop";
  await networks.renamed(asked);
  assert.deepEqual([...names.endpoints.values()].map((one) => one.names[0]), ["shop", "shop"]);
  await networks.disconnect(asked);
  assert.deepEqual([names.endpoints.size, names.views.size], [0, 0]);
});

test("a running container comes into a network and leaves it", async (t) => {
  const names = nameService();
  const { open, joins, events, routes, root } = bench(t);
  const container = record("c1", "bridge", { name: "web", state: running });
  const networks = await open({ names, findContainer: () => container });
  await networks.connect(container);
  networks.started(container);
  assert.equal(names.calls.length, 0, "the default bridge has no names");
  const { id } = await networks.create(creation("n", { internal: true, ...subnet("10.5.0.0/24") }));
  const state = await networks.attach(container, "n", settings({ DriverOpts: { "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1" } }));
  assert.deepEqual(state.endpoints.map(({ networkName, gateway }) => [networkName, gateway]), [["bridge", "172.17.0.1"], ["n", ""]]);
  assert.deepEqual([joins.at(-1)!.interfaceName, joins.at(-1)!.gateways, joins.at(-1)!.sysctls], ["eth1", [], [{ name: "net/ipv4/conf/eth1/log_martians", value: "1" }]]);
  assert.deepEqual(names.calls, ["attach 1000"]);
  assert.match(readFileSync(join(root, "c1", "hosts"), "utf8"), /10\.5\.0\.2\tc1\n$/);
  assert.match(readFileSync(join(root, "c1", "resolv.conf"), "utf8"), /nameserver 127\.0\.0\.11/);
  assert.deepEqual(await rejection(networks.attach(container, "n", settings())), ["forbidden", "endpoint with name web already exists in network n"]);
  assert.match((await rejection(networks.remove("n")))[1], /^error while removing network: network n has active endpoints \(name:"web" id:"[0-9a-f]{12}"\)$/);
  assert.deepEqual((await networks.detach(container, "bridge")).endpoints.map(({ networkName }) => networkName), ["n"]);
  assert.deepEqual(routes, [], "an internal network has no way out");
  assert.doesNotMatch(readFileSync(join(root, "c1", "hosts"), "utf8"), /172\.17/);
  await networks.detach(container, "n");
  assert.deepEqual(await rejection(networks.detach(container, "n")), ["system", "container c1 is not connected to network n"]);
  await networks.remove("n");
  assert.deepEqual(events.slice(1).map(({ action, actor }) => [action, actor.attributes["name"]]), [["create", "n"], ["connect", "n"], ["disconnect", "bridge"], ["disconnect", "n"], ["destroy", "n"]]);
  assert.deepEqual(await rejection(networks.remove(id)), ["not-found", `network ${id} not found`]);
});

test("with the IPAM null endpoints have no addresses, and pools cannot be asked for", async (t) => {
  const { open, joins } = bench(t);
  const nothing = (config: IpamEntry[] = []) => creation("n", { ipv6: true, ipam: { driver: "null", options: null, config } });
  let networks = await open({ ipam: createDefaultIpam() });
  assert.deepEqual(await rejection(networks.create(nothing([{ subnet: "10.5.0.0/24", range: "", gateway: "", aux: null }]))), ["invalid-parameter", "null ipam driver does not handle specific address pool requests"]);
  await networks.create(nothing());
  assert.deepEqual(inspectNetwork(networks, "n", "").ipam.config.map((entry) => entry.subnet), ["0.0.0.0/0", "::/0"]);
  networks = await open({ ipam: createDefaultIpam() });
  await networks.connect(record("c1", "n"));
  assert.deepEqual(joins.at(-1)!.addresses, []);
});

test("a driver that leads outside by itself is told which endpoints do, and which ports are published", async (t) => {
  const told: string[] = [];
  const { open, options } = bench(t);
  const { bridge } = options.drivers;
  const leading: NetworkDriver & LeadsOutside = {
    ...bridge,
    openOutside: async ({ networkId }, { published }) => void told.push(`open ${nameOf(networkId)} ${published.map(({ port, hostPorts }) => `${hostPorts?.first}:${port}`).join()}`),
    closeOutside: async ({ networkId }) => void told.push(`close ${nameOf(networkId)}`),
  };
  const container = record("c1", "b", { state: running });
  container.hostConfig.PortBindings = { "80/tcp": [{ HostIp: "", HostPort: "8080" }] };
  const networks = await open({ drivers: { ...options.drivers, bridge: leading }, findContainer: () => container });
  const nameOf = (id: string): string => networks.find(id).name;
  for (const name of ["a", "b"]) await networks.create(creation(name));
  await networks.connect(container);
  networks.started(container);
  await networks.attach(container, "a", settings());
  await networks.detach(container, "a");
  await networks.disconnect(container);
  assert.deepEqual(told, ["open b 8080:80", "close b", "open a 8080:80", "close a", "open b 8080:80", "close b"]);
});

test("a network can be removed as soon as its containers have ended, also those whose end nobody has noticed", async (t) => {
  for (const state of [{ ...running, pid: spawnSync("true").pid }, { status: "exited", exitCode: 0, startedAt: 1n, finishedAt: 2n } as const]) {
    const container = record("c1", "n", { name: "web", state: running });
    const { open } = bench(t);
    const networks = await open({ findContainer: () => container });
    await networks.create(creation("n"));
    await networks.connect(container);
    networks.started(container);
    assert.match((await rejection(networks.remove("n")))[1], /has active endpoints/);
    container.state = state as typeof container.state;
    const removal = networks.remove("n");
    await networks.disconnect(container);
    await removal;
  }
});

test("the default route follows when its network is left", async (t) => {
  const { open, routes } = bench(t);
  const container = record("c1", "n", { state: running });
  const networks = await open({ findContainer: () => container });
  await networks.create(creation("n", subnet("10.5.0.0/24")));
  await networks.connect(container);
  await networks.attach(container, "bridge", settings({ GwPriority: -1 }));
  await networks.detach(container, "n");
  assert.deepEqual(routes, ["eth1 172.17.0.1"]);
});

test("an asked address that is on its way back is waited for; one that is taken is an error", async (t) => {
  const { open, vanish } = bench(t);
  const networks = await open();
  await networks.create(creation("n", subnet("10.5.0.0/24")));
  const at = (id: string) => record(id, "n", { networkingConfig: { EndpointsConfig: { n: settings({ IPAMConfig: { IPv4Address: "10.5.0.9", IPv6Address: "", LinkLocalIPs: null } }) } } });
  await networks.connect(at("a"));
  assert.deepEqual(await rejection(networks.connect(at("b"))), ["forbidden", "failed to set up container networking: Address already in use"]);
  await networks.disconnect(at("a"));
  const waiting = networks.connect(at("b"));
  await new Promise((resolve) => setImmediate(resolve));
  vanish();
  assert.equal((await waiting).network!.endpoints[0]!.ipAddress, "10.5.0.9");
});

test("prune: what nobody uses, by label and age; finding by scope", async (t) => {
  const networks = await bench(t).open();
  await networks.create(creation("a", { labels: { x: "1" } }));
  await networks.create(creation("b"));
  await networks.connect(record("c1", "b"));
  const prune = (text: string) => pruneNetworks(networks, text === "" ? new Filters(new Map()) : parseFilters(text));
  assert.deepEqual(await prune('{"label":["nosuch"]}'), []);
  assert.deepEqual(await prune('{"until":["1h"]}'), []);
  assert.deepEqual(await prune(""), ["a"]);
  await assert.rejects(prune('{"nosuch":["x"]}'), /invalid filter 'nosuch'/);
  assert.throws(() => inspectNetwork(networks, "b", "swarm"), /network b not found/);
});

test("addresses of a network that is gone are free in no other of the same subnet", async (t) => {
  const made = bench(t);
  const networks = await made.open({ ipam: createDefaultIpam() });
  const addressOf = async (name: string, network: string): Promise<string | undefined> => (await networks.connect(record(name, network))).network?.endpoints[0]?.ipAddress;
  await networks.create(creation("first", subnet("10.5.0.0/24")));
  assert.equal(await addressOf("one", "first"), "10.5.0.2");
  await networks.disconnect(record("one", "first"));
  await networks.remove("first");
  await networks.create(creation("second", subnet("10.5.0.0/24")));
  assert.equal(await addressOf("two", "second"), "10.5.0.2");
  made.vanish();
  await new Promise(setImmediate);
  assert.equal(await addressOf("three", "second"), "10.5.0.3");
});
