/** --network in its short and long form, and the flags that speak of the first network. */
import { parseAddress, parseHardwareAddress } from "../../lib/address.ts";
import { quote } from "../../lib/strconv.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { parseCsv } from "../parse/csv.ts";

export interface Attachment {
  target: string;
  aliases: string[];
  links: string[];
  driverOptions: Record<string, string>;
  ipv4: string;
  ipv6: string;
  linkLocal: string[];
  mac: string;
  gatewayPriority: number;
}

const attachment = (target: string): Attachment => ({ target, aliases: [], links: [], driverOptions: {}, ipv4: "", ipv6: "", linkLocal: [], mac: "", gatewayPriority: 0 });

/** "name" or "name=x,alias=y,ip=...". Throws an Error with Docker's words. */
export function parseNetwork(text: string): Attachment {
  if (!/\w+=\w+(,\w+=\w+)*/.test(text)) return attachment(text);
  const network = attachment("");
  for (const field of parseCsv(text)) {
    const lower = field.toLowerCase();
    const equals = lower.indexOf("=");
    if (equals <= 0) throw new Error(`invalid field ${field}`);
    setField(network, lower.slice(0, equals).trim(), lower.slice(equals + 1).trim());
  }
  if (network.target === "") throw new Error("network name/id is not specified");
  return network;
}

function setField(network: Attachment, key: string, value: string): void {
  switch (key) {
    case "name":
      network.target = value;
      return;
    case "alias":
      network.aliases.push(value);
      return;
    case "ip":
      network.ipv4 = address(value);
      return;
    case "ip6":
      network.ipv6 = address(value);
      return;
    case "mac-address":
      network.mac = value;
      return;
    case "link-local-ip":
      network.linkLocal.push(address(value));
      return;
    case "driver-opt": {
      const equals = value.indexOf("=");
      if (equals <= 0) throw new Error("invalid key value pair format in driver options");
      network.driverOptions[value.slice(0, equals).trim()] = value.slice(equals + 1).trim();
      return;
    }
    case "gw-priority":
      if (!/^[+-]?\d+$/.test(value)) throw new Error(`invalid gw-priority (${value}): invalid syntax`);
      network.gatewayPriority = Number(value);
      return;
    default:
      throw new Error(`invalid field key ${key}`);
  }
}

function address(value: string): string {
  if (value === "") throw new Error(`ParseAddr(${quote(value)}): unable to parse IP`);
  return parseAddress(value);
}

/** Neither a mode of its own nor another container's. */
const isUserDefined = (name: string): boolean => !["default", "bridge", "host", "none", ""].includes(name) && !name.startsWith("container:");

export interface Endpoint {
  IPAMConfig: { IPv4Address?: string; IPv6Address?: string; LinkLocalIPs?: string[] } | null;
  Links: string[] | null;
  Aliases: string[] | null;
  DriverOpts: Record<string, string> | null;
  GwPriority: number;
  MacAddress?: string;
}

/** The first network's name and the endpoints' settings by network. Throws an Error with Docker's words. */
export function networkConfig(flags: FlagValues): { mode: string; endpoints: Record<string, Endpoint> } {
  const networks = [...flags.list("net"), ...flags.list("network")].map(parseNetwork);
  const endpoints: Record<string, Endpoint> = {};
  const all = networks.length === 0 ? [attachment("default")] : networks;
  all.forEach((network, index) => {
    if (index === 0) applyFlags(network, flags);
    const endpoint = endpointOf(network);
    if (Object.hasOwn(endpoints, network.target)) throw new Error(`network ${quote(network.target)} is specified multiple times`);
    if (networks.length === 1 && isPlain(endpoint)) return;
    endpoints[network.target] = endpoint;
  });
  const kinds = new Set(networks.map(({ target }) => isUserDefined(target)));
  if (kinds.size === 2) throw new Error("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  return { mode: networks[0]?.target ?? "default", endpoints };
}

function applyFlags(network: Attachment, flags: FlagValues): void {
  const conflict = (one: string, two: string): never => {
    throw new Error(`conflicting options: cannot specify both ${one} and per-network ${two}`);
  };
  const aliases = [...flags.list("network-alias"), ...flags.list("net-alias")];
  const links = flags.list("link");
  const [ip, ip6, mac, local] = [flags.string("ip"), flags.string("ip6"), flags.string("mac-address"), flags.list("link-local-ip")];
  if (network.aliases.length > 0 && aliases.length > 0) conflict("--network-alias", "alias");
  if (network.ipv4 !== "" && ip !== "") conflict("--ip", "IPv4 address");
  if (network.ipv6 !== "" && ip6 !== "") conflict("--ip6", "IPv6 address");
  if (network.mac !== "" && mac !== "") conflict("--mac-address", "MAC address");
  if (network.linkLocal.length > 0 && local.length > 0) conflict("--link-local-ip", "link-local IP addresses");
  if (aliases.length > 0) network.aliases = aliases;
  if (links.length > 0 && isUserDefined(network.target)) network.links = links;
  if (ip !== "" && !ip.includes(":")) network.ipv4 = ip.trim();
  if (ip6 !== "") network.ipv6 = parseAddress(ip6.trim());
  if (mac !== "") network.mac = mac;
  if (local.length > 0) network.linkLocal = local;
}

function endpointOf(network: Attachment): Endpoint {
  if (network.target.trim() === "") throw new Error("no name set for network");
  if (!isUserDefined(network.target)) {
    if (network.aliases.length > 0) throw new Error("network-scoped aliases are only supported for user-defined networks");
    if (network.links.length > 0) throw new Error("links are only supported for user-defined networks");
  }
  const { ipv4, ipv6, linkLocal } = network;
  const addressed = ipv4 !== "" || ipv6 !== "" || linkLocal.length > 0;
  return {
    IPAMConfig: addressed ? { ...(ipv4 ? { IPv4Address: ipv4 } : {}), ...(ipv6 ? { IPv6Address: ipv6 } : {}), ...(linkLocal.length > 0 ? { LinkLocalIPs: linkLocal } : {}) } : null,
    Links: network.links.length > 0 ? network.links : null,
    Aliases: network.aliases.length > 0 ? network.aliases : null,
    DriverOpts: Object.keys(network.driverOptions).length > 0 ? network.driverOptions : null,
    GwPriority: network.gatewayPriority,
    ...(network.mac === "" ? {} : { MacAddress: macAddress(network.mac) }),
  };
}

export function macAddress(text: string): string {
  try {
    return parseHardwareAddress(text.trim());
  } catch {
    throw new Error(`${text} is not a valid mac address`);
  }
}

const isPlain = (endpoint: Endpoint): boolean => !endpoint.IPAMConfig && !endpoint.Links && !endpoint.Aliases && !endpoint.DriverOpts && endpoint.GwPriority === 0 && !endpoint.MacAddress;
