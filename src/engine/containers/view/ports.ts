/** A container's ports as inspect and list show them: once an endpoint is there, the exposed and the published ones. */
import type { ContainerRecord, PortState } from "../../../core/container.ts";
import { singles } from "../../../core/port-runs.ts";

/** By "80/tcp"; empty for those that are only exposed. */
export function portsOf({ network, config }: Pick<ContainerRecord, "network" | "config">): Map<string, PortState[]> {
  const ports = new Map<string, PortState[]>();
  if (!network?.endpoints.some(({ networkName }) => networkName !== "host" && networkName !== "none")) return ports;
  for (const port of Object.keys(config.ExposedPorts ?? {})) if (port !== "") ports.set(port, []);
  for (const published of singles(network.ports ?? [])) {
    const key = `${published.port}/${published.protocol}`;
    ports.set(key, [...(ports.get(key) ?? []), published]);
  }
  return new Map([...ports].sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** NetworkSettings.Ports of inspect. */
export function inspectPorts(record: ContainerRecord): Record<string, { HostIp: string; HostPort: string }[] | null> {
  return Object.fromEntries([...portsOf(record)].map(([port, bindings]) => [port, bindings.length === 0 ? null : bindings.map(({ hostIp, hostPort }) => ({ HostIp: hostIp, HostPort: hostPort === 0 ? "" : String(hostPort) }))]));
}

export interface PortSummary {
  /** "" of a port that is only exposed. */
  IP: string;
  PrivatePort: number;
  PublicPort?: number;
  Type: string;
}

/** Ports of a list's row. */
export function portSummaries(record: ContainerRecord): PortSummary[] {
  return [...portsOf(record)].flatMap(([port, bindings]): PortSummary[] => {
    const [number = "", Type = ""] = port.split("/");
    const PrivatePort = Number(number);
    if (bindings.length === 0) return [{ IP: "", PrivatePort, Type }];
    return bindings.map(({ hostIp, hostPort }) => ({ IP: hostIp, PrivatePort, ...(hostPort === 0 ? {} : { PublicPort: hostPort }), Type }));
  });
}
