/** Networks with drivers of the tests' own. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ContainerRecord } from "../../core/container.ts";
import { emptyConfig, emptyHostConfig } from "../../core/container-config.ts";
import type { EngineEvent } from "../../core/events.ts";
import type { Ipam } from "../../core/ipam.ts";
import type { EndpointReference, JoinRequest, NetworkDriver, RecoversEndpoints, SandboxNamespace } from "../../core/network.ts";
import { GantryError } from "../../lib/errors.ts";
import { formatIp, formatPrefix, parsePrefix } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import { openDatabase } from "../../sys/database.ts";
import { createNetworks } from "./networks.ts";
import type { Networks, NetworksOptions } from "./networks.ts";
import { networkMigrations } from "./store.ts";

/** Addresses .2, .3, ... of whatever subnet. */
export function countingIpam(size = 250): Ipam & { taken: Set<bigint> } {
  const taken = new Set<bigint>();
  const next = parsePrefix("172.17.0.0/16")!;
  const pools = new Map<string, IpPrefix>();
  return {
    taken,
    id: "counting",
    requestPool: async (request) => {
      const subnet = request.subnet ?? { ...next, address: { ...next.address, value: next.address.value + (BigInt(pools.size) << 16n) } };
      const id = formatPrefix(subnet);
      pools.set(id, subnet);
      return { id, subnet };
    },
    releasePool: async () => {},
    requestAddress: async (pool, preferred) => {
      const subnet = pools.get(pool)!;
      if (preferred && taken.has(preferred.value)) throw new GantryError("forbidden", "Address already in use");
      const value = preferred?.value ?? Array.from({ length: size }, (_, index) => subnet.address.value + BigInt(index + 1)).find((candidate) => !taken.has(candidate));
      if (value === undefined) throw new GantryError("unavailable", "no address");
      taken.add(value);
      return { address: { family: subnet.address.family, value }, length: subnet.length };
    },
    releaseAddress: async (_pool, address) => void taken.delete(address.value),
  };
}

export interface Bench {
  options: NetworksOptions;
  open(overrides?: Partial<NetworksOptions>): Promise<Networks>;
  joins: JoinRequest[];
  leaves: EndpointReference[];
  recovered: EndpointReference[][];
  events: EngineEvent[];
  closedSandboxes: number[];
  /** Default routes that were set in a running sandbox. */
  routes: string[];
  /** Resolves the pending leaves. */
  vanish(): void;
  failJoin: boolean;
  root: string;
}

export function bench(t: TestContext): Bench {
  const root = mkdtempSync(join(tmpdir(), "gantry-net-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  writeFileSync(join(root, "hosts"), "10.0.0.9\tthe-host\n");
  writeFileSync(join(root, "resolv.conf"), "nameserver 192.0.2.53\n");
  const made: Bench = { joins: [], leaves: [], routes: [], recovered: [], events: [], closedSandboxes: [], failJoin: false, root, vanish: () => pending.splice(0).forEach((resolve) => resolve()), open: async () => createNetworks(made.options) } as unknown as Bench;
  const pending: (() => void)[] = [];
  let fd = 10;
  const createSandbox = async (): Promise<SandboxNamespace> => {
    const own = fd++;
    return { fd: own, close: () => void (made.closedSandboxes.includes(own) || made.closedSandboxes.push(own)) };
  };
  const plain = (id: string, sandbox: "bare" | "own" | "host"): NetworkDriver => ({ id, capabilities: { sandbox, addresses: false, gateways: "own", scope: "local" }, validate: () => {}, createNetwork: async () => {}, deleteNetwork: async () => {}, join: async () => ({ mac: new Uint8Array() }), leave: async () => {}, close: async () => {} });
  const bridge: NetworkDriver & RecoversEndpoints = {
    ...plain("bridge", "own"),
    capabilities: { sandbox: "own", addresses: true, gateways: "own", scope: "local" },
    join: async (request) => {
      if (made.failJoin) throw new Error("no interface");
      made.joins.push(request);
      return { mac: request.mac ?? Uint8Array.of(2, 66, 0, 0, 0, made.joins.length) };
    },
    leave: (endpoint, from) => {
      made.leaves.push(endpoint);
      if (from) return Promise.resolve();
      return new Promise((resolve) => pending.push(resolve));
    },
    expectNetworks: () => {},
    recover: async (endpoints) => void made.recovered.push([...endpoints]),
  };
  made.options = {
    database: openDatabase(join(root, "state.db"), networkMigrations),
    drivers: { bridge, host: plain("host", "host"), null: plain("null", "bare") },
    ipam: countingIpam(),
    createSandbox,
    openSandbox: () => ({ fd: 1000, close: () => {} }),
    setDefaultRoutes: async (_sandbox, name, gateways) => void made.routes.push(`${name} ${gateways.map(formatIp).join(" ")}`),
    hostPrefixes: async () => [],
    defaultBridge: { name: "docker0", mtu: 0, masquerade: true, icc: true, avoid: [], managed: true, present: { 4: [], 6: [] }, routers: {}, ipv6: false },
    events: { emit: (event) => void made.events.push(event) },
    findContainer: (ref) => {
      throw new GantryError("not-found", `No such container: ${ref}`);
    },
    saveContainer: () => {},
    containerFolder: (id) => join(root, id),
    hostFiles: { hosts: join(root, "hosts"), resolvConf: join(root, "resolv.conf"), ipv6: true },
    dns: { servers: [], search: [], options: [] },
    hostGateways: [],
    defaultOptions: {},
    warn: (message) => assert.fail(message),
  };
  made.open = (overrides = {}) => createNetworks({ ...made.options, ...overrides });
  return made;
}

export function record(id: string, networkMode = "bridge", more: Partial<ContainerRecord> = {}): ContainerRecord {
  const hostConfig = { ...emptyHostConfig(), NetworkMode: networkMode };
  return { id, name: id, createdAt: 0n, imageId: "", imageRef: "", config: { ...emptyConfig(), Hostname: id }, hostConfig, networkingConfig: { EndpointsConfig: null }, storageDriver: "", mounts: [], state: { status: "created" }, restartCount: 0, stoppedByUser: false, ...more };
}
