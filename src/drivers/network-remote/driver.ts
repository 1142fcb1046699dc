/**
 * Networks of a plugin, by libnetwork's remote protocol: the plugin makes an interface on the host for each endpoint, and the
 * driver moves it into the sandbox and gives it its name, addresses and routes.
 *
 * What the plugin made is the plugin's: networks and endpoints that outlive the daemon are not made again.
 */
import type { JoinRequest, NetworkDriver, NetworkSpec, NetworkSubnet, RecoversEndpoints, SandboxNamespace } from "../../core/network.ts";
import { singleRequests } from "../../core/network-ports.ts";
import type { LeadsOutside, PortRequest } from "../../core/network-ports.ts";
import { isMethodMissing, partOf, type Plugin, type PluginAnswer, textOf } from "../../core/plugins.ts";
import { messageOf, notFound, systemError } from "../../lib/errors.ts";
import { contains, formatIp, formatPrefix, type IpAddress, type IpPrefix, parseIp, parsePrefix } from "../../lib/ip.ts";
import { formatMac, parseMac } from "../../lib/mac.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";

export interface RemoteDriverOptions {
  name: string;
  /** Activates the plugin on first use. */
  find: () => Promise<Plugin>;
  kernel: NetworkKernel;
  /** Of a sandbox. */
  openSandbox: (fd: number) => NetworkKernel;
  /** The host's own. */
  hostNamespace: () => SandboxNamespace;
  warn: (message: string) => void;
}

export type RemoteDriver = NetworkDriver & RecoversEndpoints & LeadsOutside;

interface StaticRoute {
  destination: IpPrefix;
  /** Absent: what it leads to is on the link itself. */
  via?: IpAddress;
}

/** What the plugin said of an endpoint's interface. */
interface Joined {
  /** The interface's name on the host; undefined: there is none. */
  source: string | undefined;
  gateways: IpAddress[];
  routes: StaticRoute[];
}

const CONNECTED = 1;

export function createRemoteDriver({ name, find, kernel, openSandbox, hostNamespace, warn }: RemoteDriverOptions): RemoteDriver {
  /** Networks that the plugin made, also in an earlier life of the daemon. */
  const networks = new Set<string>();
  /** The names that interfaces had on the host, by endpoint. */
  const sources = new Map<string, string>();
  let scope: "local" | "global" = "local";

  const call = async (method: string, request: object): Promise<PluginAnswer> => {
    const plugin = await find();
    return plugin.call(`NetworkDriver.${method}`, request);
  };

  const readCapabilities = async (): Promise<void> => {
    if (textOf(await call("GetCapabilities", {}), "Scope") === "global") scope = "global";
  };

  const join = async (request: JoinRequest): Promise<{ mac: Uint8Array }> => {
    const { networkId, endpointId } = request;
    if (!networks.has(networkId)) throw notFound(`network ${networkId} of plugin ${name} does not exist`);
    const ids = { NetworkID: networkId, EndpointID: endpointId };
    const mac = await createEndpoint(call, request);
    try {
      const joined = joinedOf(await call("Join", { ...ids, SandboxKey: `/proc/${process.pid}/fd/${request.sandbox.fd}`, Options: {} }));
      try {
        return { mac: joined.source === undefined ? (mac ?? new Uint8Array()) : await enter(request, joined, mac) };
      } catch (error) {
        await call("Leave", ids).catch((failure: unknown) => warn(`leaving network ${networkId} of plugin ${name}: ${messageOf(failure)}`));
        throw error;
      }
    } catch (error) {
      await call("DeleteEndpoint", ids).catch((failure: unknown) => warn(`undoing an endpoint of plugin ${name}: ${messageOf(failure)}`));
      throw error;
    }
  };

  /** From the host into the sandbox. */
  const enter = async (request: JoinRequest, { source, gateways, routes }: Joined, mac: Uint8Array | undefined): Promise<Uint8Array> => {
    const { sandbox, interfaceName, addresses, endpointId } = request;
    const link = await kernel.link(source!);
    if (!link) throw systemError(`plugin ${name} made no interface ${source} for the endpoint ${endpointId}`);
    await kernel.apply([{ op: "moveLink", link: { index: link.index }, netns: sandbox.fd, name: interfaceName }]);
    sources.set(endpointId, source!);
    const inside = openSandbox(sandbox.fd);
    try {
      const { index, mac: own } = (await inside.link(interfaceName)) ?? link;
      const { sysctls = [] } = request;
      const v6 = addresses.some(({ address }) => address.family === 6);
      const quiet = [["accept_ra", "0"], ["dad_transmits", "0"], ["disable_ipv6", v6 ? "0" : "1"]].map(([key, value]) => ({ name: `net/ipv6/conf/${interfaceName}/${key!}`, value: value!, optional: !v6 }));
      const changes: RouteChange[] = [
        ...(mac ? [{ op: "setLink", link: { index }, mac } as const] : []),
        ...addresses.map((address): RouteChange => ({ op: "addAddress", index, address })),
        { op: "setLink", link: { index }, up: true },
        ...routes.map(({ destination, via }): RouteChange => ({ op: "addRoute", index, destination, ...(via ? { gateway: via } : {}), replace: true })),
        ...defaultRoutes(request, gateways).map((gateway): RouteChange => ({ op: "addRoute", index, gateway, replace: true })),
      ];
      await kernel.applyToSandbox(sandbox.fd, { sysctls: [...quiet, ...sysctls], inside: changes });
      return mac ?? own;
    } catch (error) {
      await leaveSandbox({ sandbox, interfaceName }, endpointId).catch((failure: unknown) => warn(`giving an interface back to plugin ${name}: ${messageOf(failure)}`));
      throw error;
    } finally {
      inside.close();
    }
  };

  /** Back to the host, where the plugin knows it; where its name is not known any more, it goes. */
  const leaveSandbox = async ({ sandbox, interfaceName }: { sandbox: SandboxNamespace; interfaceName: string }, endpointId: string): Promise<void> => {
    const source = sources.get(endpointId);
    const inside = openSandbox(sandbox.fd);
    const host = hostNamespace();
    try {
      const link = { name: interfaceName };
      await inside.apply(source === undefined ? [{ op: "deleteLink", link }] : [{ op: "setLink", link, up: false }, { op: "moveLink", link, netns: host.fd, name: source }]);
    } catch (error) {
      if (errnoCode(error) !== "ENODEV") throw error;
    } finally {
      host.close();
      inside.close();
    }
  };

  return {
    id: name,
    capabilities: {
      sandbox: "own",
      addresses: true,
      gateways: "own",
      get scope() {
        return scope;
      },
    },
    validate: () => {},
    expectNetworks: (outlived) => {
      for (const { id } of outlived) networks.add(id);
    },
    recover: async () => {},
    createNetwork: async (spec) => {
      if (networks.has(spec.id)) return;
      await readCapabilities();
      await call("CreateNetwork", creationOf(spec));
      networks.add(spec.id);
    },
    deleteNetwork: async (id) => {
      if (!networks.has(id)) return;
      await call("DeleteNetwork", { NetworkID: id });
      networks.delete(id);
    },
    join,
    openOutside: async ({ networkId, endpointId }, { published, exposed }) => {
      const options = { "com.docker.network.portmap": singleRequests(published).map(bindingOf), "com.docker.network.endpoint.exposedports": exposed.map(({ protocol, port }) => ({ Proto: PROTOCOL_NUMBER[protocol], Port: port })) };
      await optional(call("ProgramExternalConnectivity", { NetworkID: networkId, EndpointID: endpointId, Options: options }));
    },
    closeOutside: async ({ networkId, endpointId }) => optional(call("RevokeExternalConnectivity", { NetworkID: networkId, EndpointID: endpointId })),
    leave: async ({ networkId, endpointId }, from) => {
      const ids = { NetworkID: networkId, EndpointID: endpointId };
      const problems: string[] = [];
      const attempt = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => problems.push(messageOf(error)));
      if (from) await attempt(leaveSandbox(from, endpointId));
      sources.delete(endpointId);
      await attempt(call("Leave", ids));
      await attempt(call("DeleteEndpoint", ids));
      if (problems.length > 0) warn(`leaving network ${networkId} of plugin ${name}: ${problems.join("; ")}`);
    },
    close: async () => {},
  };
}

const PROTOCOL_NUMBER = { tcp: 6, udp: 17, sctp: 132 } as const;

/** As libnetwork words it; 0 is a port that somebody is to choose. */
const bindingOf = ({ protocol, port, hostAddress, hostPorts }: PortRequest): object => ({ Proto: PROTOCOL_NUMBER[protocol], IP: "", Port: port, HostIP: hostAddress ? formatIp(hostAddress) : "", HostPort: hostPorts?.first ?? 0, HostPortEnd: hostPorts?.last ?? 0 });

/** Plugins need not have the method. */
async function optional(asked: Promise<unknown>): Promise<void> {
  try {
    await asked;
  } catch (error) {
    if (!isMethodMissing(error)) throw error;
  }
}

function creationOf({ id, options, internal, subnets }: NetworkSpec): object {
  const data = ({ subnet, gateway }: NetworkSubnet): object => ({ AddressSpace: "LocalDefault", Pool: formatPrefix(subnet), Gateway: gateway ? formatPrefix({ address: gateway, length: subnet.length }) : "", AuxAddresses: {} });
  const of = (family: 4 | 6): object[] => subnets.filter(({ subnet }) => subnet.address.family === family).map(data);
  return {
    NetworkID: id,
    Options: { "com.docker.network.enable_ipv4": of(4).length > 0, "com.docker.network.enable_ipv6": of(6).length > 0, "com.docker.network.generic": options, ...(internal && { "com.docker.network.internal": true }) },
    IPv4Data: of(4),
    IPv6Data: of(6),
  };
}

/** The hardware address of the endpoint: what was asked for, or the plugin's; undefined: the interface keeps its own. */
async function createEndpoint(call: (method: string, request: object) => Promise<PluginAnswer>, { networkId, endpointId, addresses, mac }: JoinRequest): Promise<Uint8Array | undefined> {
  const of = (family: 4 | 6): string => {
    const found = addresses.find(({ address }) => address.family === family);
    return found ? formatPrefix(found) : "";
  };
  const asked = { Address: of(4), AddressIPv6: of(6), MacAddress: mac ? formatMac(mac) : "" };
  const answer = await call("CreateEndpoint", { NetworkID: networkId, EndpointID: endpointId, Interface: asked, Options: {} });
  const given = partOf(answer, "Interface");
  for (const key of ["Address", "AddressIPv6", "MacAddress"] as const) {
    const value = textOf(given, key);
    if (value === undefined || value === asked[key]) continue;
    if (key !== "MacAddress" || asked.MacAddress !== "") throw systemError(`NetworkDriver.CreateEndpoint: the plugin chose ${value}, but ${asked[key] || "no address"} is what it was given`);
  }
  const own = textOf(given, "MacAddress");
  return mac ?? (own === undefined ? undefined : parseMac(own));
}

function joinedOf(answer: PluginAnswer): Joined {
  const gateways = [textOf(answer, "Gateway"), textOf(answer, "GatewayIPv6")].flatMap((text) => (text === undefined ? [] : [requireIp(text)]));
  const listed = answer["StaticRoutes"] ?? [];
  if (!Array.isArray(listed)) throw systemError("NetworkDriver.Join: StaticRoutes of the plugin's answer is no list");
  const routes = (listed as PluginAnswer[]).map((route): StaticRoute => {
    const destination = parsePrefix(textOf(route, "Destination") ?? "");
    if (!destination) throw systemError(`NetworkDriver.Join: ${String(route["Destination"])} is no destination of a route`);
    const via = textOf(route, "NextHop");
    return { destination, ...(route["RouteType"] === CONNECTED || via === undefined ? {} : { via: requireIp(via) }) };
  });
  return { source: textOf(partOf(answer, "InterfaceName"), "SrcName"), gateways, routes };
}

function requireIp(text: string): IpAddress {
  const address = parseIp(text.split("/")[0] ?? "");
  if (!address) throw systemError(`NetworkDriver.Join: ${text} is no address of a gateway`);
  return address;
}

/** Where this endpoint is the one that leads out: through what the plugin said, if it can be reached from here. */
function defaultRoutes({ addresses, gateways }: JoinRequest, told: readonly IpAddress[]): IpAddress[] {
  const families = new Set(gateways.map(({ family }) => family));
  return told.filter((gateway) => families.has(gateway.family) && (gateway.family === 6 || addresses.some(({ address, length }) => contains({ address, length }, gateway)))).map((gateway) => parseIp(formatIp(gateway))!);
}
