/** Namespaces in memory, for tests of what uses NetworkKernel: links, addresses, routes and sysctls behave as Linux's do, and any change can be made to fail. */
import type { NamespaceOwner } from "./steps.ts";
import { systemError } from "../../lib/errors.ts";
import { formatIp, formatPrefix } from "../../lib/ip.ts";
import type { NetworkKernel, OpenNamespace, SandboxPlan } from "./kernel.ts";
import type { FlowFilter } from "./conntrack.ts";
import type { NftBaseChain, NftTransaction } from "./nftables.ts";
import type { ListedRule } from "./nftables-rules.ts";
import type { TableChanges } from "./nftables-session.ts";
import type { Link, LinkAddress, Route } from "./rtnetlink-decode.ts";
import { describe, encodeRouteChange } from "./rtnetlink.ts";
import type { LinkReference, RouteChange } from "./rtnetlink.ts";
import { NetlinkFailure } from "./socket.ts";
import { PortRefusal } from "../port-reservation.ts";
import type { BoundPort, PickedPorts, PortReservation, PortWish } from "../port-reservation.ts";

const ERRNO = { EPERM: 1, ENOENT: 2, EEXIST: 17, ENODEV: 19, EOPNOTSUPP: 95 } as const;
export type FakeErrno = keyof typeof ERRNO;
const LOOPBACK: Link = { index: 1, name: "lo", up: false, running: false, mac: new Uint8Array(6), mtu: 65536, master: 0, kind: "", alias: "" };

const HOST_FD = 3;

/** All namespaces of a machine. */
export class FakeMachine {
  readonly host: FakeKernel = new FakeKernel(this, HOST_FD);
  /** Called with each new namespace. */
  born: (kernel: FakeKernel) => void = () => {};
  readonly #namespaces = new Map<number, FakeKernel>();
  #nextFd = 100;

  /** A namespace that lives until it is closed. */
  createSandbox(): OpenNamespace {
    const fd = this.#nextFd++;
    const kernel = new FakeKernel(this, fd);
    this.#namespaces.set(fd, kernel);
    this.born(kernel);
    const close = (): void => this.#destroy(fd);
    return { fd, close, [Symbol.dispose]: close };
  }

  namespace(fd: number): FakeKernel {
    const found = fd === HOST_FD ? this.host : this.#namespaces.get(fd);
    if (!found) throw systemError(`no namespace has fd ${fd}`);
    return found;
  }

  get openSandboxes(): number {
    return this.#namespaces.size;
  }

  #destroy(fd: number): void {
    const dying = this.#namespaces.get(fd);
    this.#namespaces.delete(fd);
    for (const link of dying?.state.links ?? []) if (link.kind === "veth") dying?.dropPeer(link);
  }
}

interface FakeState {
  links: Link[];
  addresses: LinkAddress[];
  routes: Route[];
  sysctls: Map<string, string>;
}

export class FakeKernel implements NetworkKernel {
  readonly state: FakeState = { links: [{ ...LOOPBACK }], addresses: [], routes: [], sysctls: new Map() };
  /** What was done, in order, as describe() words it. */
  readonly done: string[] = [];
  readonly transactions: NftTransaction[] = [];
  readonly forgotten: FlowFilter[] = [];
  /** Reserved ports, as "protocol address port"; those of other programs can be added. */
  readonly ports = new Set<string>();
  readonly #holders = new Set<string[]>();
  readonly #keys = new WeakMap<PortReservation, string[]>();
  /** Other programs' chains. */
  chains: NftBaseChain[] = [];
  /** Fails what it gives an errno for. */
  failure: ((change: RouteChange | NftTransaction) => FakeErrno | undefined) | undefined;
  readonly netns: number;
  readonly #machine: FakeMachine;
  readonly #groups = new WeakMap<Link, number>();
  readonly #peers = new Map<Link, { kernel: FakeKernel; link: Link }>();
  readonly #tableWatches = new Set<TableChanges>();
  readonly #addressWatches = new Set<() => void>();

  /** The user namespace that it belongs to; undefined: the host's. */
  owner: NamespaceOwner | undefined;

  constructor(machine: FakeMachine, netns: number) {
    this.#machine = machine;
    this.netns = netns;
  }

  async createSandbox(plan: SandboxPlan = { inside: [] }, owner?: NamespaceOwner): Promise<OpenNamespace> {
    const sandbox = this.#machine.createSandbox();
    this.#machine.namespace(sandbox.fd).owner = owner;
    try {
      await this.applyToSandbox(sandbox.fd, { ...plan, inside: [{ op: "setLink", link: { index: 1 }, up: true }, ...plan.inside] });
    } catch (error) {
      sandbox.close();
      throw error;
    }
    return sandbox;
  }

  async applyToSandbox(netns: number, plan: SandboxPlan): Promise<void> {
    const inside = this.#machine.namespace(netns);
    await inside.writeSysctls(plan.sysctls ?? []);
    await inside.apply(plan.inside);
    await inside.writeSysctls(plan.settings ?? []);
    await inside.apply(plan.later ?? []);
    await this.apply(plan.outside ?? []);
  }

  async apply(changes: readonly RouteChange[]): Promise<void> {
    for (const [index, change] of changes.entries()) {
      const errno = this.failure?.(change) ?? this.#change(change);
      if (errno) throw refusal(errno, describe(change), index, encodeRouteChange(change).type);
      this.done.push(describe(change));
    }
  }

  async link(name: string): Promise<Link | undefined> {
    const found = this.state.links.find((link) => link.name === name);
    return found && { ...found };
  }
  async links(): Promise<Link[]> {
    return this.state.links.map((link) => ({ ...link }));
  }
  async presentLinks(names: readonly string[]): Promise<string[]> {
    return this.state.links.map(({ name }) => name).filter((name) => names.includes(name));
  }
  async addresses(): Promise<LinkAddress[]> {
    return [...this.state.addresses];
  }
  async routes(): Promise<Route[]> {
    return [...this.state.routes];
  }
  async routeTo(): Promise<Route | undefined> {
    return undefined;
  }
  async writeSysctls(sysctls: readonly { name: string; value: string }[]): Promise<void> {
    for (const { name, value } of sysctls) this.state.sysctls.set(name, value);
  }
  async readSysctls(names: readonly string[]): Promise<(string | undefined)[]> {
    return names.map((name) => this.state.sysctls.get(name));
  }
  async forgetFlows(filters: readonly FlowFilter[]): Promise<void> {
    this.forgotten.push(...filters);
  }
  async reservePorts(wishes: readonly PortWish[]): Promise<PortReservation> {
    const taken: string[] = [];
    const close = (): void => this.#giveBack(taken);
    const take = (wish: PortWish, index: number, offset = 0): number => {
      const port = this.#freePort(wish);
      if (port === undefined) {
        close();
        throw new PortRefusal(index, "EADDRINUSE", offset);
      }
      for (const address of addressesOf(wish)) {
        taken.push(portKey(wish, address, port));
        this.ports.add(portKey(wish, address, port));
      }
      return port;
    };
    const ports = wishes.map((wish, index) => {
      if (!wish.all) return take(wish, index);
      for (let port = wish.first; port <= wish.last; port++) take({ ...wish, first: port, last: port, start: port }, index, port - wish.first);
      return wish.first;
    });
    this.#holders.add(taken);
    const reservation = { ports, fd: -1, close, end: async () => close() };
    this.#keys.set(reservation, taken);
    return reservation;
  }
  pickPorts(from: readonly PortReservation[], ports: readonly BoundPort[]): PickedPorts {
    const present = new Set(from.flatMap((reservation) => this.#keys.get(reservation) ?? []));
    const keys = ports.map((port) => portKey(port, formatIp(port.address), port.port));
    const own = keys.filter((key) => present.has(key));
    this.#holders.add(own);
    const close = (): void => this.#giveBack(own);
    const reservation = { ports: [], fd: -1, close, end: async () => close() };
    this.#keys.set(reservation, own);
    return { reservation, found: keys.map((key) => present.has(key)) };
  }
  #giveBack(keys: string[]): void {
    this.#holders.delete(keys);
    for (const key of keys.splice(0)) if (![...this.#holders].some((held) => held.includes(key))) this.ports.delete(key);
  }
  #freePort(wish: PortWish): number | undefined {
    const { first, last, start } = wish;
    const size = last - first + 1;
    const isTaken = (port: number): boolean => addressesOf(wish).some((address) => [...this.ports].some((key) => sameSocket(key, portKey(wish, address, port))));
    return Array.from({ length: size }, (_, step) => first + ((start - first + step) % size)).find((port) => !isTaken(port));
  }
  async nft(transaction: NftTransaction): Promise<void> {
    const errno = this.failure?.(transaction);
    if (errno) throw refusal(errno, "change the firewall", 0, 0);
    this.transactions.push(transaction);
  }
  async baseChains(): Promise<NftBaseChain[]> {
    return this.chains;
  }
  async chainRules(): Promise<ListedRule[]> {
    return [];
  }
  async setElements(): Promise<[]> {
    return [];
  }
  async setKeys(): Promise<Buffer[]> {
    return [];
  }
  async watchTable(_table: string, changes: TableChanges): Promise<{ close(): void }> {
    this.#tableWatches.add(changes);
    return { close: () => void this.#tableWatches.delete(changes) };
  }
  async watchLinks(): Promise<{ close(): void }> {
    return { close: () => {} };
  }
  async watchRoutes(): Promise<{ close(): void }> {
    return { close: () => {} };
  }
  async watchSettings(): Promise<{ close(): void }> {
    return { close: () => {} };
  }
  async watchAddresses(changed: () => void): Promise<{ close(): void }> {
    this.#addressWatches.add(changed);
    return { close: () => void this.#addressWatches.delete(changed) };
  }
  close(): void {}

  /** As if another program had flushed the ruleset. */
  loseTables(): void {
    for (const { lost } of this.#tableWatches) lost();
  }

  /** As if another program had changed addresses. */
  changeAddresses(): void {
    for (const changed of this.#addressWatches) changed();
  }

  dropPeer(link: Link): void {
    const peer = this.#peers.get(link);
    if (peer) peer.kernel.#forget(peer.link);
  }

  #forget(link: Link): void {
    this.state.links = this.state.links.filter((other) => other !== link);
    this.state.addresses = this.state.addresses.filter(({ index }) => index !== link.index);
    this.state.routes = this.state.routes.filter(({ index }) => index !== link.index);
    this.#peers.delete(link);
  }

  #add(link: Omit<Link, "index" | "up" | "running" | "alias">, index?: number): Link {
    const added: Link = { ...link, up: false, running: false, alias: "", index: index ?? 1 + Math.max(...this.state.links.map((other) => other.index)) };
    this.state.links.push(added);
    return added;
  }

  #find(reference: LinkReference): Link | undefined {
    return this.state.links.find((link) => ("name" in reference ? link.name === reference.name : link.index === reference.index));
  }

  #change(change: RouteChange): FakeErrno | undefined {
    switch (change.op) {
      case "addBridge":
        return this.#addBridge(change);
      case "addLink":
        return this.#addLink(change);
      case "addVeth":
        return this.#addVeth(change);
      case "setLink":
        return this.#setLink(change);
      case "deleteLink":
        return this.#deleteLink(change.link);
      case "deleteGroup":
        for (const link of [...this.state.links]) if (this.#groups.get(link) === change.group) this.#deleteLink({ index: link.index });
        return undefined;
      case "addAddress":
        return this.#addAddress(change);
      case "deleteAddress":
        this.state.addresses = this.state.addresses.filter(({ index, address }) => index !== change.index || formatPrefix(address) !== formatPrefix(change.address));
        return undefined;
      case "addRoute":
        return this.#addRoute(change);
      case "deleteRoute":
        this.state.routes = this.state.routes.filter(({ destination }) => !destination || formatPrefix(destination) !== formatPrefix(change.destination));
        return undefined;
      case "addNeighbour":
        return this.#find({ index: change.index }) ? undefined : "ENODEV";
      case "addForwarding":
        return this.#find({ index: change.port }) ? undefined : "ENODEV";
    }
  }

  #addBridge(change: Extract<RouteChange, { op: "addBridge" }>): FakeErrno | undefined {
    if (this.#find({ name: change.name })) return "EEXIST";
    this.#add({ name: change.name, mac: change.mac ?? new Uint8Array(6), mtu: change.mtu ?? 1500, master: 0, kind: "bridge" });
    return undefined;
  }

  #addLink({ name, data, index, parent, netns, mac, mtu }: Extract<RouteChange, { op: "addLink" }>): FakeErrno | undefined {
    const home = netns === undefined ? this : this.#machine.namespace(netns);
    if (parent !== undefined && !this.#find({ index: parent })) return "ENODEV";
    if (home.#find({ name }) || (index !== undefined && home.#find({ index }))) return "EEXIST";
    home.#add({ name, mac: mac ?? new Uint8Array(6), mtu: mtu ?? 1500, master: 0, kind: data.kind }, index);
    return undefined;
  }

  #addVeth(change: Extract<RouteChange, { op: "addVeth" }>): FakeErrno | undefined {
    const other = this.#machine.namespace(change.peer.netns);
    if (this.#find({ name: change.name }) || (change.index !== undefined && this.#find({ index: change.index })) || other.#find({ name: change.peer.name })) return "EEXIST";
    const link = this.#add({ name: change.name, mac: change.mac ?? new Uint8Array(6), mtu: change.mtu, master: 0, kind: "veth" }, change.index);
    const peer = other.#add({ name: change.peer.name, mac: new Uint8Array(6), mtu: change.mtu, master: 0, kind: "veth" });
    this.#peers.set(link, { kernel: other, link: peer });
    other.#peers.set(peer, { kernel: this, link });
    return undefined;
  }

  #setLink(change: Extract<RouteChange, { op: "setLink" }>): FakeErrno | undefined {
    const link = this.#find(change.link);
    if (!link) return "ENODEV";
    const { up, mac, mtu, master, alias, group } = change;
    if (group !== undefined) this.#groups.set(link, group);
    Object.assign(link, up === undefined ? {} : { up, running: up }, mac ? { mac } : {}, mtu === undefined ? {} : { mtu }, master === undefined ? {} : { master }, alias === undefined ? {} : { alias });
    return undefined;
  }

  #deleteLink(reference: LinkReference): FakeErrno | undefined {
    const link = this.#find(reference);
    if (!link) return "ENODEV";
    this.dropPeer(link);
    this.#forget(link);
    return undefined;
  }

  #addAddress(change: Extract<RouteChange, { op: "addAddress" }>): FakeErrno | undefined {
    if (!this.#find({ index: change.index })) return "ENODEV";
    if (this.state.addresses.some(({ index, address }) => index === change.index && formatPrefix(address) === formatPrefix(change.address))) return "EEXIST";
    this.state.addresses.push({ index: change.index, address: change.address });
    return undefined;
  }

  #addRoute(change: Extract<RouteChange, { op: "addRoute" }>): FakeErrno | undefined {
    if (!this.#find({ index: change.index })) return "ENODEV";
    this.state.routes.push({ family: 4, index: change.index, table: 254, type: 1, ...(change.destination ? { destination: change.destination } : {}), ...(change.gateway ? { gateway: change.gateway } : {}) });
    return undefined;
  }
}

const portKey = ({ protocol }: Pick<PortWish, "protocol">, address: string, port: number): string => `${protocol} ${address} ${port}`;
const addressesOf = ({ address, both }: PortWish): string[] => (both ? ["0.0.0.0", "::"] : [formatIp(address)]);

/** As sockets conflict: the wildcard address with every other of its family. */
function sameSocket(one: string, other: string): boolean {
  const [[protocol, address, port], [protocol2, address2, port2]] = [one.split(" "), other.split(" ")];
  if (protocol !== protocol2 || port !== port2 || address?.includes(":") !== address2?.includes(":")) return false;
  return address === address2 || [address, address2].some((one) => one === "0.0.0.0" || one === "::");
}

function refusal(errno: FakeErrno, what: string, index: number, type: number): Error {
  const failure = new NetlinkFailure(ERRNO[errno], "", { index, type });
  return systemError(`failed to ${what}: ${failure.message}`, failure);
}
