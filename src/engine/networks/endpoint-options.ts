/** What an endpoint's settings say of its interface. */
import { zero } from "../../lib/schema.ts";
import { endpointSettingsSchema } from "../../core/container-config.ts";
import type { EndpointSettings, NetworkingConfig } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { parseIp } from "../../lib/ip.ts";
import type { IpFamily, IpPrefix } from "../../lib/ip.ts";
import type { Network } from "./predefined.ts";

const INTERFACE_NAME = "com.docker.network.endpoint.ifname";
const SYSCTLS = "com.docker.network.endpoint.sysctls";
const INTERFACE_PREFIX = "com.docker.network.container_iface_prefix";

/** A copy, under the network's name, its id or what the container's mode calls it. */
export function settingsFor(config: NetworkingConfig | undefined, { row }: Network, mode: string): EndpointSettings {
  const all = config?.EndpointsConfig ?? {};
  return { ...(all[row.name] ?? all[row.id] ?? all[mode] ?? zero(endpointSettingsSchema)) };
}

/** The name that was asked for, or the first that is free: eth0, eth1, ... */
export function interfaceNameFor(settings: EndpointSettings, { spec }: Network, taken: readonly string[]): string {
  const asked = settings.DriverOpts?.[INTERFACE_NAME];
  if (asked) return asked;
  const prefix = spec.options[INTERFACE_PREFIX] || "eth";
  for (let number = 0; ; number++) if (!taken.includes(`${prefix}${number}`)) return `${prefix}${number}`;
}

export const isWithoutIpv6 = ({ hostConfig }: Pick<ContainerRecord, "hostConfig">): boolean => hostConfig.Sysctls?.["net.ipv6.conf.all.disable_ipv6"] === "1";

/** Those that its interface shall have addresses of: IPv6 may be switched off in the container, or at the endpoint. */
export function familiesOf(record: Pick<ContainerRecord, "hostConfig">, settings: EndpointSettings): readonly IpFamily[] {
  const off = isWithoutIpv6(record) || sysctlsFor(settings, "").some(({ name, value }) => name === "net/ipv6/conf//disable_ipv6" && value === "1");
  return off ? [4] : [4, 6];
}

const LINK_LENGTH = { 4: 16, 6: 64 } as const;

/** Those that were asked for, on the wire only. */
export function linkLocalAddresses({ IPAMConfig }: EndpointSettings): IpPrefix[] {
  return (IPAMConfig?.LinkLocalIPs ?? []).flatMap((text) => {
    const address = parseIp(text.replace(/^::ffff:(?=.*\.)/, ""));
    return address ? [{ address, length: LINK_LENGTH[address.family] }] : [];
  });
}

/** "net.ipv4.conf.IFNAME.log_martians=1,..." as paths below /proc/sys. */
export function sysctlsFor(settings: EndpointSettings, interfaceName: string): { name: string; value: string }[] {
  const list = settings.DriverOpts?.[SYSCTLS];
  if (!list) return [];
  return list.split(",").map((entry) => {
    const at = entry.indexOf("=");
    const [net = "", family = "", kind = "", , ...rest] = entry.slice(0, at).split(".");
    return { name: [net, family, kind, interfaceName, rest.join("/")].join("/"), value: entry.slice(at + 1) };
  });
}
