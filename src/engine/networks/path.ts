/** Who is meant by the ends of a path, and what containers call each other; how packets go between them the finder says. */
import type { ContainerRecord } from "../../core/container.ts";
import type { PathEnd, PathFinder, PathQuery, PathStep, ProbeResult } from "../../core/network-path.ts";
import { conflict, invalidParameter } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { isUserDefined } from "../containers/modes.ts";
import type { RecordStore } from "../containers/lifecycle/context.ts";
import type { NetworkView, Networks } from "./networks.ts";
import { dnsNames } from "./sandbox-names.ts";

export interface PathContext {
  store: RecordStore;
  networks: Networks;
  finder: PathFinder;
}

export interface PathRequest {
  /** A container, "host", "outside", or an address. */
  from: string;
  /** The same, with a port behind a colon, or a name that the container `from` would ask for. */
  to: string;
  protocol: string;
  probe: boolean;
}

export interface PathReport {
  destination: string;
  protocol: string;
  port: number | undefined;
  steps: PathStep[];
  reached: boolean | "maybe";
  probe?: ProbeResult;
}

interface Party {
  end: PathEnd;
  record?: ContainerRecord;
  address?: IpAddress;
}

export async function networkPath(context: PathContext, { from, to, protocol: asked, probe }: PathRequest): Promise<PathReport> {
  const { host: target, port } = splitPort(to);
  const protocol = protocolOf(asked, port);
  const sender = partyOf(context, from);
  const steps: PathStep[] = [];
  const receiver = namedByContainer(context, sender, target, steps) ?? partyOf(context, target);
  const destination = receiver.address ?? (await addressFor(context, sender, receiver));
  const addresses = addressBook(context);
  const query: PathQuery = {
    from: sender.end,
    to: receiver.end,
    ...(sender.address ? { source: sender.address } : {}),
    destination,
    protocol,
    ...(port === undefined ? {} : { port }),
    nameOf: (address) => addresses.get(formatIp(address))?.name,
    endOf: (address) => addresses.get(formatIp(address))?.end,
  };
  const found = await context.finder.find(query);
  const result = probe ? await context.finder.probe(query) : undefined;
  return { destination: formatIp(destination), protocol, port, steps: [...steps, ...found.steps], reached: found.reached, ...(result ? { probe: result } : {}) };
}

function protocolOf(asked: string, port: number | undefined): PathQuery["protocol"] {
  if (asked !== "" && asked !== "tcp" && asked !== "udp") throw invalidParameter(`invalid protocol ${JSON.stringify(asked)}: there are tcp and udp, and ICMP without a port`);
  if (asked !== "" && port === undefined) throw invalidParameter(`${asked} needs a port: TO:PORT`);
  return port === undefined ? "icmp" : asked === "udp" ? "udp" : "tcp";
}

/** "[2001:db8::1]:80", "192.0.2.1:80", "web:80", or any of these without a port. */
function splitPort(text: string): { host: string; port: number | undefined } {
  const [, bracketed, plain, number] = /^(?:\[([^\]]*)\]|([^:]*|[^[\]]*:[^[\]]*:[^[\]]*?))(?::(\d+))?$/.exec(text) ?? [];
  const host = bracketed ?? (parseIp(text) ? text : plain);
  const port = parseIp(text) || number === undefined ? undefined : Number(number);
  if (!host || (port !== undefined && (port < 1 || port > 65_535))) throw invalidParameter(`invalid end of a path: ${JSON.stringify(text)}`);
  return { host, port };
}

function partyOf({ store, networks }: PathContext, ref: string): Party {
  if (ref === "host") return { end: { kind: "host" } };
  if (ref === "outside") return { end: { kind: "outside" } };
  const address = parseIp(ref);
  if (!address) return { ...partyOfRecord(store.find(ref)) };
  const owner = networks.list().flatMap(({ endpoints }) => endpoints).find(({ addresses }) => addresses.some((own) => own.address.family === address.family && own.address.value === address.value));
  return { ...(owner ? partyOfRecord(store.find(owner.container)) : { end: { kind: "outside" } }), address };
}

function partyOfRecord(record: ContainerRecord): Party {
  const { state, name, hostConfig } = record;
  if (state.status !== "running" && state.status !== "paused") throw conflict(`container ${name} is not running`);
  return { end: hostConfig.NetworkMode === "host" ? { kind: "host" } : { kind: "container", name, pid: state.pid }, record };
}

/** What the name server of the asking container would answer. undefined: it is no name there. */
function namedByContainer({ store, networks }: PathContext, { record }: Party, name: string, steps: PathStep[]): Party | undefined {
  if (!record?.network || parseIp(name) || name === "host" || name === "outside") return undefined;
  const where = `container ${record.name}`;
  const own = record.network.endpoints.flatMap(({ networkId }) => networks.list().filter(({ id }) => id === networkId));
  for (const network of own.filter(hasNames)) {
    for (const endpoint of network.endpoints) {
      const other = store.get(endpoint.container);
      const aliases = other?.networkingConfig.EndpointsConfig?.[network.name]?.Aliases ?? null;
      if (!other || !dnsNames(other, aliases).some((known) => known === name || `${known}.${network.name}` === name)) continue;
      const address = endpoint.addresses[0]?.address;
      if (!address) continue;
      steps.push({ where, kind: "name", verdict: "pass", text: `${name} is ${formatIp(address)}, ${other.name} in the network ${network.name}` });
      return { ...partyOfRecord(other), address };
    }
  }
  const reason = own.some(hasNames) ? "no network of its own has anybody of that name" : "its networks have no names";
  steps.push({ where, kind: "name", verdict: "note", text: `${name} is not a name for it: ${reason}; the container's address is taken` });
  return undefined;
}

const hasNames = ({ name, endpoints }: NetworkView): boolean => isUserDefined(name) && endpoints.length > 0;

async function addressFor({ networks, finder }: PathContext, sender: Party, receiver: Party): Promise<IpAddress> {
  const family = sender.address?.family ?? 4;
  if (receiver.end.kind === "outside") throw invalidParameter('what is outside needs an address as TO, or comes in as FROM "outside"');
  if (receiver.end.kind === "container") {
    const endpoints = networks.list().filter(({ endpoints: all }) => all.some(({ container }) => container === receiver.record?.id)).sort((one, other) => Number(isIn(other, sender)) - Number(isIn(one, sender)));
    const address = endpoints.flatMap(({ endpoints: all }) => all.filter(({ container }) => container === receiver.record?.id)).flatMap(({ addresses }) => addresses)[0]?.address;
    if (!address) throw conflict(`container ${receiver.end.name} has no address`);
    return address;
  }
  if (sender.end.kind === "host") return parseIp("127.0.0.1")!;
  const gateway = sender.end.kind === "container" ? parseIp(sender.record?.network?.endpoints.find((endpoint) => endpoint.gateway !== "")?.gateway ?? "") : undefined;
  const address = gateway ?? (await finder.hostAddress(family, sender.address));
  if (!address) throw conflict("this host has no address that they would ask for: name one as TO");
  return address;
}

const isIn = ({ endpoints }: NetworkView, { record }: Party): boolean => endpoints.some(({ container }) => container === record?.id);

/** Addresses of containers and of gateways. */
function addressBook({ store, networks }: PathContext): Map<string, { name: string; end?: PathEnd }> {
  const book = new Map<string, { name: string; end?: PathEnd }>();
  for (const { name, ipam, endpoints } of networks.list()) {
    for (const { gateway } of ipam.config) if (gateway !== "") book.set(gateway, { name: `the gateway of ${name}` });
    for (const { container, addresses } of endpoints) {
      const record = store.get(container);
      if (!record || (record.state.status !== "running" && record.state.status !== "paused")) continue;
      for (const { address } of addresses) book.set(formatIp(address), { name: record.name, end: { kind: "container", name: record.name, pid: record.state.pid } });
    }
  }
  return book;
}
