/** linux.sysctl: what Docker sets in a new network namespace, and what was asked for. Those of interfaces are set with their endpoints. */
import { isPrivate } from "../modes.ts";
import type { SpecInput } from "./host.ts";

/** Unprivileged ping and low ports, as no capability is needed for them inside a namespace of one's own. */
const DEFAULTS: Record<string, string> = { "net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0" };

export function sysctlsOf({ record, host }: SpecInput): Record<string, string> {
  const { hostConfig } = record;
  const defaults = isPrivate(hostConfig.NetworkMode) ? Object.entries(DEFAULTS).filter(([name]) => host.hasSysctl(name)) : [];
  return { ...Object.fromEntries(defaults), ...hostConfig.Sysctls };
}
