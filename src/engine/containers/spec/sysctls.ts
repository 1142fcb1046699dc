/** linux.sysctl: what Docker sets in a new network namespace, and what was asked for. Those of interfaces are set with their endpoints. */
import { isPrivate } from "../modes.ts";
import { mapsOf } from "../user-namespace.ts";
import type { SpecInput } from "./host.ts";

/** Unprivileged ping and low ports, as no capability is needed for them inside a namespace of one's own. */
const PING_GROUPS = "net.ipv4.ping_group_range";
const DEFAULTS: Record<string, string> = { [PING_GROUPS]: "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0" };

export function sysctlsOf({ record, host, settings }: SpecInput): Record<string, string> {
  const { hostConfig } = record;
  // A user namespace has not all groups.
  const possible = Object.entries(DEFAULTS).filter(([name]) => host.hasSysctl(name) && !(name === PING_GROUPS && mapsOf(settings, record)));
  const defaults = isPrivate(hostConfig.NetworkMode) ? possible : [];
  return { ...Object.fromEntries(defaults), ...hostConfig.Sysctls };
}
