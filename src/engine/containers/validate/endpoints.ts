/** NetworkingConfig: what each endpoint asks for, against what is known of its network. */
import { endpointSettingsSchema } from "../../../core/container-config.ts";
import type { EndpointSettings, NetworkingConfig } from "../../../core/container-config.ts";
import { zero } from "../../../lib/schema.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import { contains, parseIp } from "../../../lib/ip.ts";
import type { IpPrefix } from "../../../lib/ip.ts";
import { containerOf, isUserDefined } from "../modes.ts";

type SubnetsOf = (network: string) => readonly IpPrefix[] | undefined;

/** Throws all that is wrong as one error, in Docker's form. */
export function validateNetworkingConfig(config: NetworkingConfig, subnetsOf: SubnetsOf): void {
  const problems: string[] = [];
  for (const [network, endpoint] of Object.entries(config.EndpointsConfig ?? {})) {
    const found = endpoint === null ? "EndpointsConfig is nil" : endpointProblems(network, endpoint, subnetsOf(network));
    if (found !== undefined) problems.push(`invalid config for network ${network}: ${found}`);
  }
  if (problems.length > 0) throw invalidParameter(joined(problems));
}

/** Endpoints under their networks' names, and one of the mode's network when there is none. Changes the configuration in place. */
export function useNetworkNames(config: NetworkingConfig, mode: string, nameOf: (ref: string) => string | undefined): void {
  if (containerOf(mode) !== undefined) return;
  const endpoints = Object.entries(config.EndpointsConfig ?? {});
  const named = (endpoints.length > 0 ? endpoints : [[mode, zero(endpointSettingsSchema)] as const]).map(([ref, endpoint]) => [isUserDefined(ref) ? (nameOf(ref) ?? ref) : ref, endpoint] as const);
  config.EndpointsConfig = Object.fromEntries(named);
}

/** What connecting to a network asks of the endpoint. Throws Docker's error. */
export function validateEndpoint(network: string, endpoint: EndpointSettings, subnets: readonly IpPrefix[]): void {
  const found = endpointProblems(network, endpoint, subnets);
  if (found !== undefined) throw invalidParameter(found.trim());
}

/** One problem as it is, several as a list. */
function joined(problems: readonly string[]): string {
  return problems.length === 1 ? problems[0]!.trim() : problems.map((problem) => `* ${problem.replaceAll("\n", "\n\t")}`).join("\n");
}

function endpointProblems(network: string, endpoint: EndpointSettings, subnets: readonly IpPrefix[] | undefined): string | undefined {
  const { IPv4Address: v4 = "", IPv6Address: v6 = "", LinkLocalIPs: local = null } = endpoint.IPAMConfig ?? {};
  const problems: string[] = [];
  if (!isUserDefined(network)) {
    if (v4 !== "" || v6 !== "") problems.push("user-specified IP address is supported on user-defined networks only");
    if ((endpoint.Aliases?.length ?? 0) > 0) problems.push("network-scoped aliases are only supported for user-defined networks");
  }
  if (v4 !== "" && ((v4.includes(":") && !v4.startsWith("::ffff:")) || v4 === "0.0.0.0")) problems.push(`invalid IPv4 address: ${v4}`);
  if (v6 !== "" && (!v6.includes(":") || v6.startsWith("::ffff:") || v6 === "::" || v6.includes("%"))) problems.push(`invalid IPv6 address: ${v6}`);
  for (const address of local ?? []) if (address === "" || address === "0.0.0.0" || address === "::") problems.push(`invalid link-local IP address: ${address === "" ? "invalid IP" : address}`);
  if (subnets) for (const [address, family] of [[v4, 4], [v6, 6]] as const) if (address !== "" && !isIn(address, subnets.filter((subnet) => subnet.address.family === family))) problems.push(`no configured subnet contains IP address ${address}`);
  problems.push(...sysctlProblems(endpoint.DriverOpts?.["com.docker.network.endpoint.sysctls"]));
  return problems.length === 0 ? undefined : `invalid endpoint settings:\n${joined(problems)}`;
}

function isIn(address: string, subnets: readonly IpPrefix[]): boolean {
  const parsed = parseIp(address.replace(/^::ffff:(?=.*\.)/, ""));
  return parsed !== undefined && subnets.some((subnet) => contains(subnet, parsed));
}

function sysctlProblems(list: string | undefined): string[] {
  if (list === undefined) return [];
  return list
    .split(",")
    .filter((sysctl) => !/^[^.]*\.(?:ipv4|ipv6|mpls)\.[^.]*\.(?:IFNAME|ifname)\./.test(sysctl))
    .map((sysctl) => `unrecognised network interface sysctl '${sysctl}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'`);
}
