/** The networks of a daemon as wired, in a namespace that plays the host. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSocketPlugins } from "../drivers/plugins-socket/index.ts";
import type { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { emptyConfig, emptyHostConfig } from "../core/container-config.ts";
import type { ContainerRecord } from "../core/container.ts";
import type { Networks } from "../engine/networks/networks.ts";
import { networkMigrations } from "../engine/networks/store.ts";
import { notFound } from "../lib/errors.ts";
import { eventually, until } from "../lib/eventually.testing.ts";
import { parsePrefix } from "../lib/ip.ts";
import { openDatabase } from "../sys/database.ts";
import { openNetworkKernel } from "../sys/netlink/kernel.ts";
import type { OpenNamespace } from "../sys/netlink/kernel.ts";
import { canReach, cannotUnshare, createSandboxNamespace, inNamespace, reaches } from "../sys/netlink/namespace.testing.ts";
import { DEFAULT_NETWORK_FLAGS, openNetworks } from "./networks.ts";
import type { NetworkFlags } from "./networks.ts";

interface Daemon {
  networks: Networks;
  warnings: string[];
}

function machine(t: TestContext): { host: Promise<OpenNamespace>; root: string; start(flags?: Partial<NetworkFlags>, more?: { dataRoot?: string; poolSize?: number }): Promise<Daemon> } {
  const root = mkdtempSync(join(tmpdir(), "gantry-net-"));
  const host = createSandboxNamespace();
  const open: Networks[] = [];
  const databases = new Map<string, DatabaseSync>();
  writeFileSync(join(root, "resolv.conf"), "nameserver 172.18.0.53\n");
  t.after(async () => {
    for (const networks of open) await networks.close();
    (await host).close();
    rmSync(root, { recursive: true, force: true });
  });
  const start = async (flags: Partial<NetworkFlags> = {}, { dataRoot = root, poolSize = 0 } = {}): Promise<Daemon> => {
    const warnings: string[] = [];
    databases.get(dataRoot)?.close();
    const database = openDatabase(join(root, `${dataRoot.replaceAll("/", "_")}.db`), networkMigrations);
    databases.set(dataRoot, database);
    const networks = await openNetworks({
      plugins: createSocketPlugins(),
      database,
      dataRoot,
      flags: { ...DEFAULT_NETWORK_FLAGS, ...flags },
      events: { emit: () => {} },
      findContainer: (ref) => {
        throw notFound(`No such container: ${ref}`);
      },
      saveContainer: () => {},
      containerFolder: (id) => join(root, "containers", id),
      warn: (message) => void warnings.push(message),
      netns: (await host).fd,
      hostResolvConf: join(root, "resolv.conf"),
      poolSize,
    });
    open.push(networks);
    return { networks, warnings };
  };
  return { host, root, start };
}

const container = (id: string, mode = "bridge"): ContainerRecord =>
  ({ id, name: id, config: { ...emptyConfig(), Hostname: id }, hostConfig: { ...emptyHostConfig(), NetworkMode: mode }, networkingConfig: { EndpointsConfig: null } }) as unknown as ContainerRecord;

const bridgeOf = ({ networks }: Daemon): string => {
  const { options, ipam } = networks.find("bridge");
  return `${options["com.docker.network.bridge.name"]} ${ipam.config[0]!.subnet} ${ipam.config[0]!.gateway}`;
};
const real = (name: string, run: (t: TestContext) => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);

real("the default bridge is docker0 where nobody else has it, and this daemon's again after a restart", async (t) => {
  const { host, start } = machine(t);
  const first = await start();
  assert.equal(bridgeOf(first), "docker0 172.17.0.0/16 172.17.0.1");
  const bridges = async (): Promise<string> => inNamespace(await host, "ip -br link show type bridge; nft list tables");
  assert.match(await bridges(), /docker0[^]*gantry-docker0/);
  await first.networks.close();
  await eventually(async () => assert.equal((await bridges()).trim(), "", "no container is connected: nothing is left on the machine"));
  assert.equal(bridgeOf(await start()), "docker0 172.17.0.0/16 172.17.0.1");
});

real("another engine's docker0 is left alone; daemons with other data roots have their own", async (t) => {
  const { host, start } = machine(t);
  inNamespace(await host, "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up");
  assert.equal(bridgeOf(await start()), "gantry0 172.19.0.0/16 172.19.0.1");
  assert.equal(bridgeOf(await start({}, { dataRoot: "/another" })), "gantry1 172.20.0.0/16 172.20.0.1");
});

real("the subnet avoids what the host routes and its name servers", async (t) => {
  const { host, start } = machine(t);
  inNamespace(await host, "ip link add up0 type bridge; ip link set up0 up; ip addr add 172.17.9.1/24 dev up0; ip route add 172.19.0.0/16 dev up0");
  assert.equal(bridgeOf(await start()), "docker0 172.20.0.0/16 172.20.0.1");
});

real("--bridge, --bip, --fixed-cidr, --mtu, --default-address-pool", async (t) => {
  const { host, start } = machine(t);
  await assert.rejects(start({ bridge: "mybr" }), /bridge device with non default name mybr must be created manually/);
  inNamespace(await host, "ip link add mybr type bridge");
  const named = await start({ bridge: "mybr", bip: "10.5.0.1/24", fixedCidr: "10.5.0.64/26", mtu: 1400 });
  assert.equal(bridgeOf(named), "mybr 10.5.0.0/24 10.5.0.1");
  const sandbox = await named.networks.connect(container("c1"));
  assert.equal(sandbox.network!.endpoints[0]!.ipAddress, "10.5.0.64");
  assert.match(inNamespace({ fd: sandbox.netnsFd! }, "ip link show eth0"), /mtu 1400/);
  assert.match(inNamespace(await host, "ip link show mybr"), /mtu 1400/);
  const pooled = await start({ defaultAddressPools: [{ base: "10.96.0.0/12", size: 22 }] }, { dataRoot: "/pooled" });
  assert.equal(bridgeOf(pooled), "docker0 10.96.0.0/22 10.96.0.1");
  await assert.rejects(start({ bip: "10.5.0.1" }, { dataRoot: "/bad" }), /invalid --bip/);
});

real("a user's own bridge is used with its address, and kept", async (t) => {
  const { host, start } = machine(t);
  inNamespace(await host, "ip link add mine type bridge; ip addr add 10.44.0.9/24 dev mine; ip link set mine up");
  const daemon = await start({ bridge: "mine" });
  assert.equal(bridgeOf(daemon), "mine 10.44.0.0/24 10.44.0.9");
  assert.equal((await daemon.networks.connect(container("c1"))).network!.endpoints[0]!.gateway, "10.44.0.9");
});

real("--bridge none: no bridge, no table, no forwarding", async (t) => {
  const { host, start } = machine(t);
  const { networks } = await start({ bridge: "none" });
  assert.deepEqual(networks.list().map(({ name }) => name), ["host", "none"]);
  assert.equal(inNamespace(await host, "nft list ruleset; ip -br link | grep -v ^lo || true"), "");
  assert.deepEqual((await networks.connect(container("c1"))).network?.endpoints.map(({ networkName }) => networkName), ["none"]);
  const sandbox = await networks.connect(container("c2", "none"));
  assert.deepEqual([sandbox.netnsFd, sandbox.netnsPath], [undefined, undefined]);
});

real("containers from prepared sandboxes talk to each other; a restart keeps a running one connected and reuses what others had", async (t) => {
  const { host, start } = machine(t);
  const first = await start({}, { poolSize: 3 });
  await first.networks.prepared();
  const [a, b] = [await first.networks.connect(container("a")), await first.networks.connect(container("b"))];
  const [inA, inB] = [{ fd: a.netnsFd! }, { fd: b.netnsFd! }];
  await reaches(inA, b.network!.endpoints[0]!.ipAddress);
  await reaches(inA, "172.17.0.1");
  await first.networks.close();
  await sleep(20);
  const second = await start();
  await second.networks.collect((id) => id === "a");
  await reaches(await host, a.network!.endpoints[0]!.ipAddress, "still connected");
  await until("b, whose namespace lives, is silenced", () => !canReach(inB, "172.17.0.1"));
  const c = await second.networks.connect(container("c"));
  assert.equal(c.network!.endpoints[0]!.ipAddress, "172.17.0.3", "the address of b is free");
  await reaches({ fd: c.netnsFd! }, a.network!.endpoints[0]!.ipAddress);
  assert.deepEqual(second.warnings, []);
});

real("many connects and disconnects at once leave nothing", async (t) => {
  const { host, start } = machine(t);
  const { networks, warnings } = await start({}, { poolSize: 4 });
  await networks.prepared();
  const kernel = openNetworkKernel((await host).fd);
  const ids = Array.from({ length: 60 }, (_, index) => `c${index}`);
  const addresses = new Set<string>();
  for (let at = 0; at < ids.length; at += 20) {
    const batch = ids.slice(at, at + 20);
    const sandboxes = await Promise.all(batch.map((id) => networks.connect(container(id))));
    for (const { network } of sandboxes) {
      const { ipAddress } = network!.endpoints[0]!;
      assert.ok(parsePrefix(`${ipAddress}/16`));
      addresses.add(ipAddress);
    }
    await Promise.all(batch.map((id) => networks.disconnect(container(id))));
  }
  assert.ok(addresses.size >= 20);
  await networks.close();
  await until("no interfaces are left", async () => !(await kernel.links()).some(({ kind }) => kind === "veth"));
  assert.deepEqual(warnings, []);
  assert.deepEqual(networks.find("bridge").endpoints, []);
});

real("--ipv6, --bip6, --fixed-cidr-v6, --ip: the default bridge has both families, and again after a restart", async (t) => {
  const { host, start } = machine(t);
  const first = await start({ ipv6: true, hostBinding: "10.0.0.1" });
  const [v4, v6] = first.networks.find("bridge").ipam.config;
  assert.match(v6!.subnet, /^fd[0-9a-f:]+::\/64$/);
  assert.equal(first.networks.find("bridge").options["com.docker.network.bridge.host_binding_ipv4"], "10.0.0.1");
  const sandbox = await first.networks.connect(container("c1"));
  assert.match(inNamespace({ fd: sandbox.netnsFd! }, "ip -6 addr show eth0; ip -6 route"), /inet6 fd[^]*default via fd/);
  await reaches({ fd: sandbox.netnsFd! }, v6!.gateway);
  await first.networks.close();
  await sleep(20);
  assert.deepEqual((await start({ ipv6: true })).networks.find("bridge").ipam.config, [v4, v6]);
  inNamespace(await host, "ip link add six0 type bridge");
  const other = await start({ bridge: "six0", ipv6: true, bip6: "fd00:5::1/64", fixedCidr6: "fd00:5::100/120" }, { dataRoot: "/six" });
  assert.equal((await other.networks.connect(container("c2"))).network!.endpoints[0]!.ipv6Address, "fd00:5::100");
  assert.match(inNamespace(await host, "ip -6 addr show six0"), /fd00:5::1\/64/);
});
