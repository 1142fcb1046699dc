/** Follows a packet through the namespaces that it meets, hop by hop, as the kernel has them now. */
import type { FoundPath, PathEnd, PathFinder, PathQuery, PathStep, StepVerdict } from "../../core/network-path.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { Netns } from "../../sys/netlink/netns.ts";
import type { Link, Route } from "../../sys/netlink/rtnetlink-decode.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import { bridgeWay, bridgesBehind } from "./bridges.ts";
import { legacyTables, listens } from "./proc.ts";
import { NO_LINK } from "./packet.ts";
import type { Packet } from "./packet.ts";
import { sendProbe } from "./probe.ts";
import { RuleReader } from "./rules.ts";
import type { Finding, Hook, HookOutcome } from "./rules.ts";

const ROUTE_TYPE = { unicast: 1, local: 2 } as const;
const REFUSALS: Record<string, string> = { ENETUNREACH: "there is no route to it", EHOSTUNREACH: "it is not reachable", EACCES: "the route prohibits it", EINVAL: "the route refuses it" };
/** Once more through prerouting, for a host that asks its firewall first. */
const MAX_ROUNDS = 2;

/** One network namespace that the packet is in. */
interface Place {
  where: string;
  end: PathEnd;
  kernel: NetworkKernel;
  rules: RuleReader;
  links: Link[];
}

/** An address that only the default route leads to (RFC 5737, RFC 3849). */
const ANYBODY = { 4: parseIp("203.0.113.1")!, 6: parseIp("2001:db8::1")! } as const;

/** `netns` is the host's, for tests. */
export function createPathFinder(options: { netns?: number } = {}): PathFinder {
  return {
    hostAddress: async (family, peer) => {
      const kernel = openNetworkKernel(options.netns ?? -1);
      try {
        return (await kernel.routeTo({ to: peer ?? ANYBODY[family] }))?.source;
      } catch {
        return undefined;
      } finally {
        kernel.close();
      }
    },
    find: async (query) => {
      const walk = new Walk(query, options.netns ?? -1);
      try {
        return await walk.run();
      } finally {
        walk.close();
      }
    },
    probe: async (query) => {
      if (query.port === undefined) throw invalidParameter("a probe needs a port: TO:PORT");
      if (query.from.kind === "outside") throw invalidParameter("a probe is sent from a container or from this host, not from outside");
      const { from, destination, protocol, port } = query;
      const namespace = from.kind === "container" ? Netns.open(`/proc/${from.pid}/ns/net`) : undefined;
      try {
        return await sendProbe({ netns: namespace?.fd ?? options.netns ?? -1, address: destination, port, protocol: protocol === "udp" ? "udp" : "tcp" });
      } finally {
        namespace?.close();
      }
    },
  };
}

class Stop extends Error {}

class Walk {
  readonly #query: PathQuery;
  readonly #hostNetns: number;
  readonly #steps: PathStep[] = [];
  readonly #opened: (() => void)[] = [];
  #packet!: Packet;

  constructor(query: PathQuery, hostNetns: number) {
    this.#query = query;
    this.#hostNetns = hostNetns;
  }

  async run(): Promise<FoundPath> {
    const { from, source, destination, protocol, port } = this.#query;
    this.#packet = { source, destination, protocol, port, in: NO_LINK, out: NO_LINK, mark: 0, redirected: false, local: false };
    try {
      const host = await this.#enter({ kind: "host" });
      await this.#legacy(host);
      if (from.kind === "container") await this.#fromContainer(await this.#enter(from), host);
      else if (from.kind === "host") await this.#fromHost(host);
      else await this.#fromOutside(host);
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
    }
    const verdicts = this.#steps.map(({ verdict }) => verdict);
    return { steps: this.#steps, reached: verdicts.includes("stop") ? false : verdicts.includes("maybe") ? "maybe" : true };
  }

  close(): void {
    for (const close of this.#opened) close();
  }

  async #enter(end: PathEnd): Promise<Place> {
    const namespace = end.kind === "container" ? Netns.open(`/proc/${end.pid}/ns/net`) : undefined;
    const kernel = openNetworkKernel(namespace?.fd ?? this.#hostNetns);
    this.#opened.push(() => kernel.close(), () => namespace?.close());
    return { where: end.kind === "container" ? `container ${end.name}` : "host", end, kernel, rules: new RuleReader(kernel), links: await kernel.links() };
  }

  #say(place: Place, kind: PathStep["kind"], text: string, verdict: StepVerdict = "pass"): void {
    this.#steps.push({ where: place.where, kind, verdict, text });
  }

  #stop(place: Place, kind: PathStep["kind"], text: string): never {
    this.#say(place, kind, text, "stop");
    throw new Stop(text);
  }

  #text(address: IpAddress): string {
    const name = this.#query.nameOf(address);
    return `${formatIp(address)}${name === undefined ? "" : ` (${name})`}`;
  }

  async #legacy(host: Place): Promise<void> {
    const tables = legacyTables();
    if (tables.length > 0) this.#say(host, "rule", `iptables-legacy has the tables ${tables.join(", ")}, which are not looked into`, "note");
  }

  // From a container: out of its interface, and into the host by the other end of it.
  async #fromContainer(container: Place, host: Place): Promise<void> {
    const packet = this.#packet;
    const route = await this.#route(container, { to: packet.destination });
    packet.source ??= route.source;
    if (route.type === ROUTE_TYPE.local) return this.#arrive(container, `${this.#text(packet.destination)} is its own address`);
    const link = this.#linkOf(container, route.index);
    packet.out = link;
    await this.#rules(container, "output");
    await this.#rules(container, "postrouting");
    packet.mac = link.mac;
    const port = this.#peerOf(host, link);
    if (!port) return this.#say(host, "interface", `the way out of ${link.name} is not through this host's rules: it is ${link.kind === "" ? "an interface of its own" : `a ${link.kind}`}`, "note");
    const bridge = host.links.find(({ index }) => index === port.master);
    this.#usable(host, port);
    if (!bridge) this.#stop(host, "interface", `${port.name}, the other end, is no port of a bridge any more`);
    this.#usable(host, bridge);
    this.#say(host, "interface", `in at ${port.name}, a port of the bridge ${bridge.name}`);
    packet.in = port;
    packet.out = NO_LINK;
    await this.#rules(host, "prerouting", { bridge: true });
    if (!route.gateway && !(await this.#isOwn(host, packet.destination))) return this.#bridged(host, { bridge, port });
    const top = await this.#addressed(host, bridge);
    this.#cross(host, bridge, top);
    await this.#throughHost(host, top);
  }

  /** The bridge that has the host's address: where a network has several, they are joined by veth pairs. */
  async #addressed(host: Place, bridge: Link): Promise<Link> {
    const own = new Set((await host.kernel.addresses()).filter(({ address }) => address.address.family === this.#packet.destination.family).map(({ index }) => index));
    return [bridge, ...bridgesBehind(host.links, bridge)].find(({ index }) => own.has(index)) ?? bridge;
  }

  /** From one bridge of a network to another one. */
  #cross(host: Place, from: Link, to: Link): void {
    for (const { out, into, bridge } of bridgeWay(host.links, from, to)) {
      this.#usable(host, out);
      this.#usable(host, bridge);
      this.#say(host, "interface", `out at ${out.name}, and in at ${into.name}, a port of the bridge ${bridge.name}: they join two bridges of the network`);
    }
  }

  /** Within a bridge; where it calls the firewall, forwarded packets are looked at as others. */
  async #bridged(host: Place, { bridge, port }: { bridge: Link; port: Link }): Promise<void> {
    const packet = this.#packet;
    const called = (await host.kernel.readSysctls([`net/bridge/bridge-nf-call-${packet.destination.family === 4 ? "ip" : "ip6"}tables`]))[0] === "1";
    const target = this.#query.endOf(packet.destination);
    if (!target) this.#stop(host, "address", `nobody on ${bridge.name} has ${formatIp(packet.destination)}`);
    const container = await this.#enter(target);
    const [, other] = await this.#portOf(host, container);
    if (!other) this.#stop(host, "interface", `the interface of ${container.where} has no other end here`);
    if (port.isolated && other.isolated) this.#stop(host, "interface", `${port.name} and ${other.name} are isolated ports of ${bridge.name}: containers of this network do not reach each other`);
    if (called) {
      packet.in = bridge;
      await this.#rules(host, "prerouting");
      packet.out = bridge;
      await this.#rules(host, "forward");
    }
    const last = host.links.find(({ index }) => index === other.master) ?? bridge;
    this.#cross(host, bridge, last);
    this.#say(host, "interface", `out at ${other.name}, a port of ${last === bridge ? "the same bridge" : last.name}`);
    await this.#intoContainer(container);
  }

  async #fromHost(host: Place): Promise<void> {
    const packet = this.#packet;
    const first = await this.#route(host, { to: packet.destination });
    packet.source ??= first.source;
    packet.local = first.type === ROUTE_TYPE.local;
    packet.out = packet.local ? (host.links.find(({ name }) => name === "lo") ?? NO_LINK) : this.#linkOf(host, first.index);
    const { redirect } = await this.#rules(host, "output");
    if (!redirect) return packet.local ? this.#localDelivery(host, packet.out) : this.#leave(host, first);
    this.#redirected(host, redirect);
    await this.#leave(host, await this.#route(host, { to: packet.destination }));
  }

  async #fromOutside(host: Place): Promise<void> {
    const packet = this.#packet;
    const back = (await host.kernel.routes()).find(({ destination, family, type }) => !destination && family === packet.destination.family && type === ROUTE_TYPE.unicast);
    const route = packet.source ? await this.#route(host, { to: packet.source }) : back;
    if (!route) this.#stop(host, "route", "there is no default route that anybody outside could come in by");
    await this.#throughHost(host, this.#linkOf(host, route.index));
  }

  /** In at a link of the host, from the first rules on. */
  async #throughHost(host: Place, link: Link, round = 1): Promise<void> {
    const packet = this.#packet;
    packet.in = link;
    packet.out = NO_LINK;
    packet.local = await this.#isOwn(host, packet.destination);
    if (packet.local) this.#say(host, "route", `${this.#text(packet.destination)} is an address of this host`);
    const { redirect } = await this.#rules(host, "prerouting");
    if (redirect) this.#redirected(host, redirect);
    packet.local = await this.#isOwn(host, packet.destination);
    if (packet.local) return this.#localDelivery(host, link, round);
    const forwarding = (await host.kernel.readSysctls([packet.destination.family === 4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding"]))[0];
    if (forwarding === "0") this.#stop(host, "route", "forwarding is off (net.ipv4.ip_forward or net.ipv6.conf.all.forwarding is 0)");
    // With the sender's address the kernel would check where it comes in; that is not asked when it is not known.
    const route = await this.#route(host, { to: packet.destination });
    packet.out = this.#linkOf(host, route.index);
    await this.#rules(host, "forward");
    await this.#leave(host, route);
  }

  async #localDelivery(host: Place, link: { name: string; index: number }, round = 1): Promise<void> {
    this.#packet.in = link;
    this.#packet.out = NO_LINK;
    const { copied } = await this.#rules(host, "input");
    const [out, entrance] = copied === undefined ? [] : [host.links.find(({ index }) => index === copied), host.links.find(({ peer }) => peer === copied)];
    if (!out || !entrance || round >= MAX_ROUNDS) return this.#arrive(host);
    this.#say(host, "interface", `the host's firewall let it in: out at ${out.name} and in again at ${entrance.name}, where published ports are redirected`);
    await this.#throughHost(host, entrance, round + 1);
  }

  /** Out of the host: to a container, or away. */
  async #leave(host: Place, route: Route): Promise<void> {
    const packet = this.#packet;
    const link = this.#linkOf(host, route.index);
    packet.out = link;
    await this.#rules(host, "postrouting");
    const end = this.#query.endOf(packet.destination);
    if (end?.kind !== "container") return this.#say(host, "interface", `out at ${link.name}${route.gateway ? ` to the router ${this.#text(route.gateway)}` : ""}: the rest is not on this machine`);
    const container = await this.#enter(end);
    const [, port] = await this.#portOf(host, container);
    const last = [link, ...bridgesBehind(host.links, link)].find(({ index }) => index === port?.master);
    if (!port || !last) this.#stop(host, "interface", `${container.where} has no interface at ${link.name}`);
    this.#usable(host, port);
    this.#cross(host, link, last);
    this.#say(host, "interface", `out at ${port.name}, a port of ${last.name}`);
    await this.#intoContainer(container);
  }

  async #intoContainer(container: Place): Promise<void> {
    const packet = this.#packet;
    const [link] = await this.#portOf(undefined, container);
    packet.in = link ?? NO_LINK;
    packet.out = NO_LINK;
    packet.redirected = false;
    packet.mark = 0;
    packet.local = true;
    if (link) this.#say(container, "interface", `in at ${link.name}`);
    await this.#rules(container, "prerouting");
    await this.#rules(container, "input");
    this.#arrive(container);
  }

  #arrive(place: Place, text = `${this.#text(this.#packet.destination)} has it`): void {
    const { protocol, port, destination } = this.#packet;
    this.#say(place, "address", text);
    if (protocol === "icmp" || port === undefined) return;
    if (listens(place.end.kind === "container" ? place.end.pid : undefined, { protocol, port, address: destination })) this.#say(place, "socket", `a program has ${protocol} port ${port}`);
    else this.#stop(place, "socket", `no program has ${protocol} port ${port} of ${formatIp(destination)}`);
  }

  async #rules(place: Place, hook: Hook, options: { bridge?: boolean } = {}): Promise<HookOutcome> {
    const outcome = await place.rules.pass(hook, this.#packet, options);
    for (const finding of outcome.findings) if (finding !== outcome.stopped) this.#say(place, "rule", ruleText(hook, finding), finding.certain ? "pass" : "maybe");
    if (outcome.stopped?.certain) this.#stop(place, "rule", ruleText(hook, outcome.stopped));
    if (outcome.stopped) this.#say(place, "rule", ruleText(hook, outcome.stopped), "maybe");
    return outcome;
  }

  #redirected(place: Place, { address, port }: { address: IpAddress; port: number | undefined }): void {
    const packet = this.#packet;
    packet.destination = address;
    if (port !== undefined) packet.port = port;
    packet.redirected = true;
    packet.local = false;
    this.#say(place, "redirect", `redirected to ${this.#text(address)}${packet.port === undefined ? "" : ` port ${packet.port}`}`);
  }

  async #isOwn(place: Place, address: IpAddress): Promise<boolean> {
    try {
      return (await place.kernel.routeTo({ to: address }))?.type === ROUTE_TYPE.local;
    } catch {
      return false;
    }
  }

  async #route(place: Place, query: { to: IpAddress }): Promise<Route> {
    let route: Route | undefined;
    try {
      route = await place.kernel.routeTo(query);
    } catch (error) {
      this.#stop(place, "route", `to ${this.#text(query.to)}: ${REFUSALS[errnoCode(error)] ?? messageOf(error)}`);
    }
    if (!route) this.#stop(place, "route", `to ${this.#text(query.to)}: ${REFUSALS["ENETUNREACH"]}`);
    const link = place.links.find(({ index }) => index === route.index);
    if (route.type !== ROUTE_TYPE.local) this.#say(place, "route", `to ${this.#text(query.to)} by ${link?.name ?? route.index}${route.gateway ? ` through ${this.#text(route.gateway)}` : ""}${route.source ? `, as ${formatIp(route.source)}` : ""}`);
    return route;
  }

  #linkOf(place: Place, wanted: number): Link {
    const link = place.links.find(({ index }) => index === wanted);
    if (!link) this.#stop(place, "interface", `the interface ${wanted} is gone`);
    this.#usable(place, link);
    return link;
  }

  #usable(place: Place, { name, up }: Link): void {
    if (!up) this.#stop(place, "interface", `${name} is down`);
  }

  #peerOf(host: Place, { kind, peer, index }: Link): Link | undefined {
    return kind === "veth" ? host.links.find((link) => link.index === peer && link.kind === "veth" && link.peer === index) : undefined;
  }

  /** The container's interface that has the destination, and its other end. */
  async #portOf(host: Place | undefined, container: Place): Promise<[own: Link | undefined, port: Link | undefined]> {
    const addresses = await container.kernel.addresses();
    const index = addresses.find(({ address: { address } }) => address.family === this.#packet.destination.family && address.value === this.#packet.destination.value)?.index;
    const own = container.links.find((link) => link.index === index);
    return [own, own && host ? this.#peerOf(host, own) : undefined];
  }
}

const HOOK_TEXT: Record<Hook, string> = { prerouting: "before routing", input: "to this place", forward: "forwarded", output: "from this place", postrouting: "after routing" };
const ruleText = (hook: Hook, { rule, effect, certain }: Finding): string => `${HOOK_TEXT[hook]}: ${rule} ${certain ? effect : `perhaps ${effect}`}`;
