/** The network of one namespace as drivers see it. `openNetworkKernel` speaks to Linux; fake.ts keeps it in memory. */
import { parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import type { NetlinkWatch } from "./socket.ts";
import { LOST_LINKS } from "./link-filter.ts";
import { NETLINK, errnoCode, exchange, roundTrip, watch } from "./socket.ts";
import type { RouteChange, RouteQuery } from "./rtnetlink.ts";
import { RTM, RTNLGRP, dumpRequest, encodeRouteChange, linkRequest, routeRequest } from "./rtnetlink.ts";
import { decodeAddress, decodeLink, decodeRoute } from "./rtnetlink-decode.ts";
import type { Link, LinkAddress, Route } from "./rtnetlink-decode.ts";
import { forgetFlowsRequest } from "./conntrack.ts";
import type { FlowFilter } from "./conntrack.ts";
import { FAMILY, chainsRequest, decodeBaseChain } from "./nftables.ts";
import type { NftBaseChain, NftTable, NftTransaction } from "./nftables.ts";
import { decodeElements, decodeKeys, decodeRule, elementsRequest, rulesRequest } from "./nftables-rules.ts";
import type { ChainReference, ListedElement, ListedRule } from "./nftables-rules.ts";
import { NftSession } from "./nftables-session.ts";
import type { TableChanges } from "./nftables-session.ts";
import { Netns } from "./netns.ts";
import { NEW_NAMESPACE, runSteps } from "./steps.ts";
import type { NamespaceOwner, NetworkStep, Sysctl } from "./steps.ts";
import { pickPorts, reservePorts } from "../port-reservation.ts";
import type { BoundPort, PickedPorts, PortReservation, PortWish } from "../port-reservation.ts";

/** What is done in a sandbox and then in the namespace that the sandbox belongs to, in one go and in this order. */
export interface SandboxPlan {
  sysctls?: readonly Sysctl[];
  inside: readonly RouteChange[];
  /** Sysctls of what was made inside. */
  settings?: readonly Sysctl[];
  /** Inside, when these are set. */
  later?: readonly RouteChange[];
  outside?: readonly RouteChange[];
}

/** It lives until it is closed and the last process in it has ended. */
export interface OpenNamespace extends Disposable {
  readonly fd: number;
  close(): void;
}

export interface NetworkKernel {
  /** The namespace, for what is born in it from another one. */
  readonly netns: number;
  /** A new namespace with loopback up, and the plan done. On failure nothing is left of it, but of what was done outside. With `owner`
   *  it belongs to that user namespace. */
  createSandbox(plan?: SandboxPlan, owner?: NamespaceOwner): Promise<OpenNamespace>;
  applyToSandbox(netns: number, plan: SandboxPlan): Promise<void>;
  /** In order, as one message; stops being certain at the first failure (see errnoCode for which). */
  apply(changes: readonly RouteChange[]): Promise<void>;
  /** undefined: there is none. */
  link(name: string): Promise<Link | undefined>;
  links(): Promise<Link[]>;
  /** Those of the names that there are. */
  presentLinks(names: readonly string[]): Promise<string[]>;
  addresses(): Promise<LinkAddress[]>;
  routes(): Promise<Route[]>;
  /** The one that packets take; throws the kernel's refusal (errnoCode: ENETUNREACH and others). */
  routeTo(query: RouteQuery): Promise<Route | undefined>;
  writeSysctls(sysctls: readonly Sysctl[]): Promise<void>;
  readSysctls(names: readonly string[]): Promise<(string | undefined)[]>;
  /** Packets of these flows are looked at anew. Nothing happens on kernels that cannot choose among flows. */
  forgetFlows(filters: readonly FlowFilter[]): Promise<void>;
  /** All or none; throws PortRefusal. */
  reservePorts(wishes: readonly PortWish[]): Promise<PortReservation>;
  /** Those of the ports that the reservations have, as one more reservation. */
  pickPorts(from: readonly PortReservation[], ports: readonly BoundPort[]): PickedPorts;
  /** All or nothing. Always from the same socket, which owns the tables that ask for an owner. */
  nft(transaction: NftTransaction): Promise<void>;
  /** Of all tables. */
  baseChains(): Promise<NftBaseChain[]>;
  chainRules(chain: ChainReference): Promise<ListedRule[]>;
  setElements(set: ChainReference): Promise<ListedElement[]>;
  /** The keys; none where there is no such set. */
  setKeys(table: NftTable, set: string): Promise<Buffer[]>;
  /** Changes by others. */
  watchTable(table: string, changes: TableChanges): Promise<NetlinkWatch>;
  /** Called when addresses of this namespace came or went; a bridge that is deleted takes its own along. Containers' are in other namespaces. */
  watchAddresses(changed: () => void): Promise<NetlinkWatch>;
  /** Called with the names of interfaces that are gone, left their bridge or were switched off; undefined: of any. */
  watchLinks(lost: (names: readonly string[] | undefined) => void): Promise<NetlinkWatch>;
  /** Called with routes that came and went; undefined: some changes were missed. What goes with its interface is not told of. */
  watchRoutes(changed: (changes: { added: Route[]; removed: Route[] } | undefined) => void): Promise<NetlinkWatch>;
  /** Called when forwarding was switched off, of all interfaces or one. */
  watchSettings(changed: () => void): Promise<NetlinkWatch>;
  close(): void;
}

/** `netns` is the namespace's fd, which stays the caller's; -1 is the process's own. */
export function openNetworkKernel(netns = -1): NetworkKernel {
  let own: Netns | undefined;
  const route = { protocol: NETLINK.ROUTE, netns };
  const session = new NftSession(netns);
  return {
    get netns() {
      if (netns >= 0) return netns;
      own ??= Netns.open("/proc/self/ns/net");
      return own.fd;
    },
    createSandbox: async (plan = { inside: [] }, owner) => new Netns((await runSteps([{ op: "namespace", owner }, ...steps(NEW_NAMESPACE, { ...plan, inside: [LOOPBACK_UP, ...plan.inside] }, netns)])).netns),
    applyToSandbox: async (sandbox, plan) => void (await runSteps(steps(sandbox, plan, netns))),
    apply: async (changes) => {
      if (changes.length > 0) await exchange(route, changes.map(encodeRouteChange));
    },
    link: async (name) => {
      try {
        return (await exchange(route, [linkRequest({ name })])).map(decodeLink)[0];
      } catch (error) {
        if (errnoCode(error) === "ENODEV") return undefined;
        throw error;
      }
    },
    links: async () => present((await exchange(route, [dumpRequest("links")])).map(decodeLink)),
    presentLinks: async (names) => present((await roundTrip(route, names.map((name) => linkRequest({ name })))).map(decodeLink)).map(({ name }) => name),
    addresses: async () => present((await exchange(route, [dumpRequest("addresses")])).map(decodeAddress)),
    routes: async () => present((await exchange(route, [dumpRequest("routes")])).map(decodeRoute)),
    routeTo: async (query) => (await exchange(route, [routeRequest(query)])).map(decodeRoute)[0],
    writeSysctls: async (sysctls) => void (await runSteps([{ op: "sysctls", in: netns, sysctls }])),
    readSysctls: async (names) => (await runSteps([{ op: "sysctls", in: netns, sysctls: names.map((name) => ({ name, value: "" })) }])).sysctls,
    forgetFlows: async (filters) => {
      try {
        await exchange({ protocol: NETLINK.NETFILTER, netns }, filters.map(forgetFlowsRequest));
      } catch (error) {
        if (!["EINVAL", "EOPNOTSUPP", "ENOTSUP"].includes(errnoCode(error))) throw error;
      }
    },
    reservePorts: (wishes) => reservePorts(netns, wishes),
    pickPorts,
    nft: (transaction) => session.commit(transaction),
    baseChains: async () => present((await exchange({ protocol: NETLINK.NETFILTER, netns }, [chainsRequest])).map(decodeBaseChain)),
    chainRules: async (chain) => present((await exchange({ protocol: NETLINK.NETFILTER, netns }, [rulesRequest(chain)])).map(decodeRule)),
    setElements: async (set) => (await exchange({ protocol: NETLINK.NETFILTER, netns }, [elementsRequest(set)])).flatMap(decodeElements),
    setKeys: async (table, set) => {
      try {
        return (await exchange({ protocol: NETLINK.NETFILTER, netns }, [elementsRequest({ family: FAMILY[table.family], table: table.name, name: set })])).flatMap(decodeKeys);
      } catch (error) {
        if (errnoCode(error) !== "ENOENT") throw error;
        return [];
      }
    },
    watchTable: (table, changes) => session.watch(table, changes),
    watchSettings: (changed) =>
      watch(route, [RTNLGRP.IPV4_NETCONF, RTNLGRP.IPV6_NETCONF], (messages) => {
        if (!messages || messages.some(isForwardingOff)) changed();
      }),
    watchLinks: (lost) => watch(route, [RTNLGRP.LINK], (messages) => lost(messages && present(messages.map(decodeLink)).map(({ name }) => name)), LOST_LINKS),
    watchRoutes: (changed) => {
      const of = (messages: NetlinkMessage[], type: number): Route[] => present(messages.filter((message) => message.type === type).map(decodeRoute));
      return watch(route, [RTNLGRP.IPV4_ROUTE, RTNLGRP.IPV6_ROUTE], (messages) => changed(messages && { added: of(messages, RTM.NEWROUTE), removed: of(messages, RTM.DELROUTE) }));
    },
    watchAddresses: (changed) => watch(route, [RTNLGRP.IPV4_IFADDR, RTNLGRP.IPV6_IFADDR], changed),
    close: () => {
      session.close();
      own?.close();
    },
  };
}

/** The attributes of a struct netconfmsg. */
const [NETCONF_ATTRIBUTES, NETCONFA_FORWARDING] = [4, 2];
const isForwardingOff = ({ payload }: NetlinkMessage): boolean => parseAttributes(payload, NETCONF_ATTRIBUTES).get(NETCONFA_FORWARDING)?.readInt32LE(0) === 0;

const LOOPBACK_UP: RouteChange = { op: "setLink", link: { index: 1 }, up: true };

function steps(sandbox: number, plan: SandboxPlan, outside: number): NetworkStep[] {
  const all: NetworkStep[] = [
    { op: "sysctls", in: sandbox, sysctls: plan.sysctls ?? [] },
    { op: "route", in: sandbox, changes: plan.inside },
    { op: "sysctls", in: sandbox, sysctls: plan.settings ?? [] },
    { op: "route", in: sandbox, changes: plan.later ?? [] },
    { op: "route", in: outside, changes: plan.outside ?? [] },
  ];
  return all.filter((step) => (step.op === "sysctls" ? step.sysctls.length > 0 : step.op !== "route" || step.changes.length > 0));
}

const present = <Value>(values: (Value | undefined)[]): Value[] => values.filter((value) => value !== undefined);
