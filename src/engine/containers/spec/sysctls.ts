/** linux.sysctl: what Docker sets in a new network namespace, endpoints' own, and what was asked for. */
import { isPrivate } from "../modes.ts";
import type { SpecInput } from "./host.ts";

export const ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls";

/** Unprivileged ping and low ports, as no capability is needed for them inside a namespace of one's own. */
const DEFAULTS: Record<string, string> = { "net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0" };

export function sysctlsOf({ record, host }: SpecInput): Record<string, string> {
  const { hostConfig } = record;
  const defaults = isPrivate(hostConfig.NetworkMode) ? Object.entries(DEFAULTS).filter(([name]) => host.hasSysctl(name)) : [];
  const endpoint = record.networkingConfig.EndpointsConfig?.[hostConfig.NetworkMode]?.DriverOpts?.[ENDPOINT_SYSCTLS];
  return { ...Object.fromEntries(defaults), ...hostConfig.Sysctls, ...endpointSysctls(endpoint) };
}

/** "net.ipv4.conf.IFNAME.log_martians=1,...": the main endpoint's interface is eth0. */
function endpointSysctls(list: string | undefined): Record<string, string> {
  if (!list) return {};
  return Object.fromEntries(
    list.split(",").map((entry) => {
      const at = entry.indexOf("=");
      return [entry.slice(0, at).replace(/\.ifname\./i, ".eth0."), entry.slice(at + 1)];
    }),
  );
}
