/** What a network's options make of its ports and of the firewall. */
import type { JoinRequest, NetworkSpec } from "../../core/network.ts";
import type { PortFamilies } from "../../core/network-ports.ts";
import type { IpFamily } from "../../lib/ip.ts";
import { FAMILIES } from "./firewall-family.ts";
import type { FirewallNetwork, FirewallRules } from "./firewall.ts";
import type { BridgeOptions, GatewayMode } from "./options.ts";
import type { PortRules } from "./ports.ts";
import type { Publication } from "./published.ts";

export const publicationOf = ({ networkId, addresses, ports = [] }: Pick<JoinRequest, "networkId" | "addresses" | "ports">): Publication => ({ networkId, addresses: addresses.map(({ address }) => address), ports });

export function portRules({ hostBinding, gatewayMode }: BridgeOptions, families: PortFamilies, { ipv6 }: FirewallRules): PortRules {
  const served = families.served.filter((family) => family === 4 || ipv6);
  return { ...(hostBinding ? { hostBinding } : {}), families: { ...families, served }, routed: FAMILIES.filter((family) => gatewayMode[family] === "routed") };
}

export function firewallNetwork({ subnets, internal }: NetworkSpec, { bridge, icc, masquerade, sources, gatewayMode, trusted }: BridgeOptions): FirewallNetwork {
  const prefixes = subnets.map(({ subnet }) => subnet);
  const inMode = (...modes: GatewayMode[]): IpFamily[] => FAMILIES.filter((family) => !internal && modes.includes(gatewayMode[family]));
  const hidden = inMode("nat", "nat-unprotected");
  return { bridge, subnets: prefixes, sources, masquerade: masquerade ? prefixes.filter(({ address }) => hidden.includes(address.family)) : [], icc, internal, open: inMode("nat-unprotected"), routed: inMode("routed"), trusted };
}
