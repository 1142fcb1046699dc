/** What a user-defined network was asked to be: as clients say it, as the database keeps it, and Docker's refusals. */
import { forbidden, invalidParameter, notFound } from "../../lib/errors.ts";
import { checkEgressOption } from "./egress.ts";
import { contains, formatIp, formatPrefix, networkOf, overlaps, parseIp, parsePrefix } from "../../lib/ip.ts";
import type { IpFamily, IpPrefix } from "../../lib/ip.ts";

/** A subnet as asked for, or as chosen; text in its normal form. */
export interface IpamEntry {
  subnet: string;
  range: string;
  gateway: string;
  /** Addresses that no container gets, by the names that the user gave them. */
  aux: Record<string, string> | null;
}

export interface NetworkDefinition {
  driver: string;
  /** As asked for; "": the driver's. */
  scope: string;
  internal: boolean;
  attachable: boolean;
  ipv4: boolean;
  ipv6: boolean;
  ipam: { driver: string; options: Record<string, string> | null; config: IpamEntry[]; /** Of a plugin: its pools' ids, by subnet. */ pools?: Record<string, string> };
  options: Record<string, string>;
  labels: Record<string, string>;
  /** The name of a network of settings that this one took over; "": none. */
  configFrom: string;
  /** It holds settings for others and has no segment. */
  configOnly: boolean;
  /** It got other subnets, and not all endpoints are known to have followed. */
  moving?: true;
}

/** undefined: the client did not say. */
export interface NetworkCreation {
  name: string;
  driver: string;
  scope: string;
  internal: boolean;
  attachable: boolean;
  ingress: boolean;
  ipv4: boolean | undefined;
  ipv6: boolean | undefined;
  ipam: { driver: string; options: Record<string, string> | null; config: IpamEntry[] } | undefined;
  options: Record<string, string>;
  labels: Record<string, string>;
  configFrom: string;
  configOnly: boolean;
}

export const PREDEFINED = ["bridge", "default", "host", "none"];
const NO_MANAGER = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

const SETTINGS_ONLY = "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.";

export interface DefinitionSources {
  /** Finds a network that holds settings. */
  settings: (name: string) => NetworkDefinition | undefined;
  /** Options of networks that name none of their own, by driver. */
  defaultOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Checks in Docker's order and completes. */
export function defineNetwork(creation: NetworkCreation, { settings, defaultOptions }: DefinitionSources): NetworkDefinition {
  const { name, driver, scope, ingress, ipam } = creation;
  if (name.trim() === "") throw invalidParameter("invalid name: name is empty");
  if (PREDEFINED.includes(name)) throw forbidden(`operation is not permitted on predefined ${name} network `);
  if (driver === "overlay") throw forbidden(NO_MANAGER);
  const options = { ...(creation.configFrom === "" ? defaultOptions[driver || "bridge"] : {}), ...creation.options };
  const ipv4 = familyOption(options, { asked: creation.ipv4, key: "com.docker.network.enable_ipv4", otherwise: true });
  const ipv6 = familyOption(options, { asked: creation.ipv6, key: "com.docker.network.enable_ipv6", otherwise: false });
  checkIpam(ipam?.config ?? [], ipv6);
  checkEgressOption(options);
  if (creation.configOnly && (ingress || creation.internal || creation.attachable || scope !== "")) throw forbidden(SETTINGS_ONLY);
  if (creation.configFrom === "") checkAdvertising(options);
  else if (creation.configOnly) throw forbidden("a configuration network cannot depend on another configuration network");
  if (ingress) throw forbidden("Ingress network can only be global scope network");
  if (scope === "swarm") throw forbidden("cannot create a swarm scoped network when swarm is not active");
  const defined: NetworkDefinition = {
    driver: driver === "" ? "bridge" : driver,
    scope,
    internal: creation.internal,
    attachable: creation.attachable,
    ipv4,
    ipv6,
    ipam: { driver: ipam?.driver || "default", options: ipam?.options ?? null, config: byFamily(ipam?.config ?? []) },
    options,
    labels: creation.labels,
    configFrom: creation.configFrom,
    configOnly: creation.configOnly,
  };
  if (defined.configOnly) return { ...defined, driver: "null" };
  checkAuxiliaries(defined, name);
  const complete = defined.configFrom === "" ? defined : takeOver(defined, settings(defined.configFrom));
  if (!complete.ipv4 && !complete.ipv6) throw invalidParameter("IPv4 or IPv6 must be enabled");
  if (complete.driver === "host" || complete.driver === "null") throw forbidden(`only one instance of "${complete.driver}" network is allowed`);
  return complete;
}

function checkAuxiliaries({ ipv4, ipv6, ipam: { config } }: NetworkDefinition, network: string): void {
  for (const entry of config.filter((asked) => (familyOf(asked) === 4 ? ipv4 : ipv6))) {
    for (const [name, address] of Object.entries(entry.aux ?? {})) if (address === "") throw invalidParameter(`non parsable secondary ip address (${name}:invalid IP) passed for network ${network}`);
  }
}

/** What the client says wins over the driver's option, which then is no more. */
function familyOption(options: Record<string, string>, { asked, key, otherwise }: { asked: boolean | undefined; key: string; otherwise: boolean }): boolean {
  const text = options[key];
  if (asked !== undefined) delete options[key];
  if (asked !== undefined || text === undefined) return asked ?? otherwise;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw invalidParameter(`driver-opt "${key}" is not a valid bool`);
}

/** Hardware addresses follow from addresses, so there is nothing to advertise; what Docker refuses is refused. */
function checkAdvertising(options: Readonly<Record<string, string>>): void {
  for (const { key, least, most, unit } of ADVERTISING) {
    const text = options[key];
    if (text === undefined) continue;
    if (!/^[+-]?\d+$/.test(text)) throw invalidParameter(`value for option ${key} ${JSON.stringify(text)} must be ${unit}`);
    if (Number(text) < least || Number(text) > most) throw invalidParameter(`${key} must be in the range ${least} to ${most}`);
  }
}

const ADVERTISING = [
  { key: "com.docker.network.advertise_addr_nmsgs", least: 0, most: 3, unit: "an integer" },
  { key: "com.docker.network.advertise_addr_ms", least: 100, most: 2000, unit: "integer milliseconds" },
] as const;

/** A network that takes its settings from another has none of its own but the driver, and who may use it and reach what. */
function takeOver(own: NetworkDefinition, from: NetworkDefinition | undefined): NetworkDefinition {
  const given = own.ipam.config.length > 0 || own.ipam.driver !== "default" || Object.keys(own.ipam.options ?? {}).length > 0 || Object.keys(own.labels).length > 0;
  if (given || !own.ipv4 || own.ipv6) throw forbidden("user-specified configurations are not supported if the network depends on a configuration network");
  if (Object.keys(own.options).length > 0) throw forbidden("network driver options are not supported if the network depends on a configuration network");
  if (!from?.configOnly) throw notFound(`configuration network "${own.configFrom}" does not exist`);
  return { ...own, ipv4: from.ipv4, ipv6: from.ipv6, ipam: from.ipam, options: from.options, labels: { ...from.labels } };
}

/** As they are shown: IPv4 first. */
const byFamily = (config: readonly IpamEntry[]): IpamEntry[] => [...config.filter((entry) => familyOf(entry) === 4), ...config.filter((entry) => familyOf(entry) === 6)];

export const familyOf = ({ subnet }: IpamEntry): IpFamily => (subnet.includes(":") ? 6 : 4);

/** Throws all that is wrong as one error. */
export function checkIpam(config: readonly IpamEntry[], ipv6: boolean): void {
  const problems = config.flatMap((entry) => (entry.subnet.includes(":") && !ipv6 ? [] : entryProblems(entry)));
  if (problems.length > 0) throw invalidParameter(`invalid network config:\n${problems.length === 1 ? problems[0]! : problems.map((problem) => `* ${problem}`).join("\n")}`);
}

function entryProblems({ subnet: text, range, gateway, aux }: IpamEntry): string[] {
  const subnet = parsePrefix(text);
  const shown = subnet ? text : "invalid Prefix";
  const family = subnet?.address.family ?? 4;
  const problems: string[] = [];
  if (subnet && formatPrefix(networkOf(subnet)) !== text) problems.push(`invalid subnet ${text}: it should be ${formatPrefix(networkOf(subnet))}`);
  problems.push(...rangeProblems(range, { subnet, shown, family }));
  const outside = (address: string): string | undefined => {
    const parsed = parseIp(address);
    if (!parsed) return undefined;
    if (parsed.family !== family) return `parent subnet is an IPv${family} block`;
    return subnet && contains(subnet, parsed) ? undefined : `parent subnet ${shown} doesn't contain this address`;
  };
  const gatewayProblem = outside(gateway);
  if (gatewayProblem !== undefined) problems.push(`invalid gateway ${formatIp(parseIp(gateway)!)}: ${gatewayProblem}`);
  for (const [name, address] of Object.entries(aux ?? {})) {
    const problem = outside(address);
    if (problem !== undefined) problems.push(`invalid auxiliary address ${name}: ${problem}`);
  }
  return problems;
}

function rangeProblems(text: string, { subnet, shown, family }: { subnet: IpPrefix | undefined; shown: string; family: number }): string[] {
  const range = parsePrefix(text);
  if (!range) return [];
  if (range.address.family !== family) return [`invalid ip-range ${text}: parent subnet is an IPv${family} block`];
  const problems: string[] = [];
  if (subnet && range.length < subnet.length) problems.push(`invalid ip-range ${text}: CIDR block is bigger than its parent subnet ${shown}`);
  if (formatPrefix(networkOf(range)) !== text) problems.push(`invalid ip-range ${text}: it should be ${formatPrefix(networkOf(range))}`);
  if (!subnet || !overlaps(subnet, range)) problems.push(`invalid ip-range ${text}: parent subnet ${shown} doesn't contain ip-range`);
  return problems;
}
