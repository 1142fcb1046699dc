/** The ports that a container asks for, from its settings in the API's form; and what it got, in the forms of records and of the database. */
import type { ContainerRecord, PortState } from "../../core/container.ts";
import { PORT_PROTOCOLS } from "../../core/network-ports.ts";
import type { PortProtocol, PortRequest, PublishedPort } from "../../core/network-ports.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";

type Settings = { config: Pick<ContainerRecord["config"], "ExposedPorts">; hostConfig: Pick<ContainerRecord["hostConfig"], "PortBindings" | "PublishAllPorts"> };

/** By the container's ports, in the order of their bindings. Ports are in the form "80/tcp". */
export function portRequests({ config, hostConfig }: Settings): PortRequest[] {
  const bindings = hostConfig.PortBindings ?? {};
  const exposed = hostConfig.PublishAllPorts ? Object.keys(config.ExposedPorts ?? {}) : [];
  const ports = [...new Set([...Object.keys(bindings), ...exposed])].filter((port) => port !== "");
  const anyPort = [{ HostIp: "", HostPort: "" }];
  return ports.sort(byNumber).flatMap((port) => {
    const asked = bindings[port] ?? [];
    return (asked.length > 0 ? asked : exposed.includes(port) ? anyPort : []).map((binding) => request(port, binding));
  });
}

function request(port: string, { HostIp, HostPort }: { HostIp: string; HostPort: string }): PortRequest {
  const [number = "", protocol = ""] = port.split("/");
  if (!isProtocol(protocol)) throw invalidParameter(`invalid transport protocol: ${protocol}`);
  const hostAddress = HostIp === "" ? undefined : parseIp(HostIp);
  const [first = 0, last = first] = HostPort.replace(/\/.*/s, "").split("-").map(Number);
  return {
    protocol,
    port: Number(number),
    ...(hostAddress ? { hostAddress } : {}),
    ...(last > 0 ? { hostPorts: { first, last } } : {}),
  };
}

/** Those of a container that others may be told of. */
export function exposedPorts({ config, hostConfig }: Settings): { protocol: PortProtocol; port: number }[] {
  const texts = new Set([...Object.keys(config.ExposedPorts ?? {}), ...Object.keys(hostConfig.PortBindings ?? {})]);
  return [...texts].flatMap((text) => {
    const [number = "", protocol = "tcp"] = text.split("/");
    return isProtocol(protocol) ? [{ protocol, port: Number(number) }] : [];
  });
}

const isProtocol = (text: string): text is PortProtocol => (PORT_PROTOCOLS as readonly string[]).includes(text);
const byNumber = (one: string, other: string): number => Number.parseInt(one) - Number.parseInt(other) || (one < other ? -1 : 1);

export const storedPorts = (ports: readonly PublishedPort[]): PortState[] => ports.map(({ protocol, port, hostAddress, hostPort }) => ({ protocol, port, hostIp: formatIp(hostAddress), hostPort }));

export const publishedPorts = (ports: readonly PortState[]): PublishedPort[] =>
  ports.flatMap(({ protocol, port, hostIp, hostPort }) => {
    const hostAddress = parseIp(hostIp);
    return hostAddress ? [{ protocol, port, hostAddress, hostPort }] : [];
  });
