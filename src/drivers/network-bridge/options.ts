/** The options of a bridge network, as the API names them. */
import type { NetworkSpec } from "../../core/network.ts";
import { invalidParameter, systemError } from "../../lib/errors.ts";
import { parseIp } from "../../lib/ip.ts";
import type { IpAddress, IpFamily } from "../../lib/ip.ts";

export const OPTION = {
  name: "com.docker.network.bridge.name",
  guard: "gantry.bridge.guard",
  default: "com.docker.network.bridge.default_bridge",
  icc: "com.docker.network.bridge.enable_icc",
  masquerade: "com.docker.network.bridge.enable_ip_masquerade",
  hostBinding: "com.docker.network.bridge.host_binding_ipv4",
  source4: "com.docker.network.host_ipv4",
  source6: "com.docker.network.host_ipv6",
  gatewayMode4: "com.docker.network.bridge.gateway_mode_ipv4",
  gatewayMode6: "com.docker.network.bridge.gateway_mode_ipv6",
  inhibitIpv4: "com.docker.network.bridge.inhibit_ipv4",
  trusted: "com.docker.network.bridge.trusted_host_interfaces",
  mtu: "com.docker.network.driver.mtu",
} as const;

export const DEFAULT_MTU = 1500;
/** IFNAMSIZ without the NUL. */
const MAX_NAME = 15;

/**
 * How a network's addresses of one family are reached from outside. "nat": by published ports of the host. "nat-unprotected": so, and
 * by their own, every port. "routed": by their own, published ports alone. "isolated": not at all, and the host is not in the network.
 */
export type GatewayMode = (typeof GATEWAY_MODES)[number];
const GATEWAY_MODES = ["nat", "nat-unprotected", "routed", "isolated"] as const;

export interface BridgeOptions {
  bridge: string;
  /** Containers that name no network are in it. */
  isDefault: boolean;
  masquerade: boolean;
  /** Containers of the network reach each other. */
  icc: boolean;
  /** Containers speak for themselves only. */
  guarded: boolean;
  /** 0: the kernel's default. */
  mtu: number;
  /** Where ports are published that no address is named for; absent: everywhere. */
  hostBinding?: IpAddress;
  /** Addresses of the host that packets leave with; absent: that of the interface. */
  sources: Partial<Record<IpFamily, IpAddress>>;
  gatewayMode: Record<IpFamily, GatewayMode>;
  /** The bridge has no IPv4 address. */
  inhibitIpv4: boolean;
  /** Interfaces of the host from which containers are reached by their own addresses. */
  trusted: string[];
}

/** Checks and reads them. Others are for whoever knows them. */
export function bridgeOptions({ options, id, internal }: NetworkSpec): BridgeOptions {
  const bridge = options[OPTION.name] || `br-${id.slice(0, 12)}`;
  if (Buffer.byteLength(bridge) > MAX_NAME) throw systemError("numerical result out of range");
  if (!/^[^\s/:]+$/.test(bridge) || bridge === "." || bridge === "..") throw invalidParameter(`invalid bridge name ${JSON.stringify(bridge)}: an interface name has 1 to ${MAX_NAME} bytes, without blanks, slashes and colons`);
  const hostBinding = hostBindingOf(options[OPTION.hostBinding]);
  const gatewayMode = { 4: modeOf(options, OPTION.gatewayMode4), 6: modeOf(options, OPTION.gatewayMode6) };
  if (!internal && Object.values(gatewayMode).includes("isolated")) throw systemError("gateway mode 'isolated' can only be used for an internal network");
  return {
    bridge,
    isDefault: flag(options, OPTION.default, false),
    masquerade: flag(options, OPTION.masquerade, true),
    guarded: flag(options, OPTION.guard, true),
    icc: flag(options, OPTION.icc, true),
    mtu: mtuOf(options[OPTION.mtu]),
    ...(hostBinding ? { hostBinding } : {}),
    sources: { ...sourceOf(options, 4), ...sourceOf(options, 6) },
    gatewayMode,
    inhibitIpv4: flag(options, OPTION.inhibitIpv4, false),
    trusted: (options[OPTION.trusted] ?? "").split(":").filter((name) => name !== ""),
  };
}

/** The host has no address in it, and no default route would lead there. */
export const isWithoutGateway = ({ gatewayMode, inhibitIpv4 }: BridgeOptions, { internal }: Pick<NetworkSpec, "internal">, family: IpFamily): boolean => gatewayMode[family] === "isolated" || (family === 4 && inhibitIpv4 && internal);

function modeOf(options: Record<string, string>, key: string): GatewayMode {
  const value = options[key] ?? "nat";
  if (!(GATEWAY_MODES as readonly string[]).includes(value)) throw invalidParameter(`failed to parse ${key} value: ${value} (unknown gateway mode ${value})`);
  return value as GatewayMode;
}

function flag(options: Record<string, string>, key: string, otherwise: boolean): boolean {
  const value = options[key];
  if (value === undefined) return otherwise;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw invalidParameter(`failed to parse ${key} value: ${value} (strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax)`);
}

/** Docker's default and its own wildcard stand for every address of both families. */
function hostBindingOf(text = "0.0.0.0"): IpAddress | undefined {
  if (text === "0.0.0.0") return undefined;
  const address = parseIp(text);
  if (address?.family !== 4) throw invalidParameter(`failed to parse ${OPTION.hostBinding} value: ${text} (nil ip)`);
  return address;
}

function sourceOf(options: Record<string, string>, family: IpFamily): Partial<Record<IpFamily, IpAddress>> {
  const key = family === 4 ? OPTION.source4 : OPTION.source6;
  const text = options[key];
  if (text === undefined) return {};
  const address = parseIp(text);
  if (address?.family !== family) throw invalidParameter(`failed to parse ${key} value: ${text} (nil ip)`);
  return { [family]: address };
}

function mtuOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^[+-]?[0-9]+$/.test(text)) throw invalidParameter(`failed to parse ${OPTION.mtu} value: ${text} (strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax)`);
  const mtu = Number(text);
  if (mtu < 0) throw invalidParameter(`invalid MTU number: ${mtu}`);
  if (mtu > 65535 || (mtu > 0 && mtu < 68)) throw invalidParameter(`invalid MTU number: ${mtu}: a bridge takes 68 to 65535`);
  return mtu;
}
