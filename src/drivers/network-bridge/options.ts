/** The options of a bridge network, as the API names them. */
import type { NetworkSpec } from "../../core/network.ts";
import { invalidParameter, notImplemented, systemError } from "../../lib/errors.ts";
import { parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";

export const OPTION = {
  name: "com.docker.network.bridge.name",
  default: "com.docker.network.bridge.default_bridge",
  icc: "com.docker.network.bridge.enable_icc",
  masquerade: "com.docker.network.bridge.enable_ip_masquerade",
  hostBinding: "com.docker.network.bridge.host_binding_ipv4",
  mtu: "com.docker.network.driver.mtu",
} as const;

export const DEFAULT_MTU = 1500;
/** IFNAMSIZ without the NUL. */
const MAX_NAME = 15;

export interface BridgeOptions {
  bridge: string;
  masquerade: boolean;
  /** Containers of the network reach each other. */
  icc: boolean;
  /** 0: the kernel's default. */
  mtu: number;
  /** Where ports are published that no address is named for. */
  hostBinding: IpAddress;
}

/** Checks and reads them. Others are for whoever knows them. */
export function bridgeOptions({ options, id }: NetworkSpec): BridgeOptions {
  const unfinished = Object.keys(options).find((key) => UNFINISHED.includes(key));
  if (unfinished !== undefined) throw notImplemented(`the bridge network option ${unfinished} is not implemented yet`);
  const bridge = options[OPTION.name] ?? `br-${id.slice(0, 12)}`;
  if (Buffer.byteLength(bridge) > MAX_NAME) throw systemError("numerical result out of range");
  if (!/^[^\s/:]+$/.test(bridge) || bridge === "." || bridge === "..") throw invalidParameter(`invalid bridge name ${JSON.stringify(bridge)}: an interface name has 1 to ${MAX_NAME} bytes, without blanks, slashes and colons`);
  return { bridge, masquerade: flag(options, OPTION.masquerade, true), icc: flag(options, OPTION.icc, true), mtu: mtuOf(options[OPTION.mtu]), hostBinding: hostBindingOf(options[OPTION.hostBinding]) };
}

const UNFINISHED = ["gateway_mode_ipv4", "gateway_mode_ipv6", "inhibit_ipv4", "trusted_host_interfaces"].map((name) => `com.docker.network.bridge.${name}`);

function flag(options: Record<string, string>, key: string, otherwise: boolean): boolean {
  const value = options[key];
  if (value === undefined) return otherwise;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw invalidParameter(`failed to parse ${key} value: ${value} (strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax)`);
}

function hostBindingOf(text = "0.0.0.0"): IpAddress {
  const address = parseIp(text);
  if (address?.family !== 4) throw invalidParameter(`failed to parse ${OPTION.hostBinding} value: ${text} (nil ip)`);
  return address;
}

function mtuOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^[+-]?[0-9]+$/.test(text)) throw invalidParameter(`failed to parse ${OPTION.mtu} value: ${text} (strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax)`);
  const mtu = Number(text);
  if (mtu < 0) throw invalidParameter(`invalid MTU number: ${mtu}`);
  if (mtu > 65535 || (mtu > 0 && mtu < 68)) throw invalidParameter(`invalid MTU number: ${mtu}: a bridge takes 68 to 65535`);
  return mtu;
}
