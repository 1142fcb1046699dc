/** The ports that a container asks for, from its settings in the API's form; and what it got, in the forms of records and of the database. */
import type { ContainerRecord, PortState } from "../../core/container.ts";
import { PORT_PROTOCOLS } from "../../core/network-ports.ts";
import type { PortProtocol, PortRequest, PublishedPort } from "../../core/network-ports.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { counted, joined } from "../../core/port-runs.ts";
import type { PortRun } from "../../core/port-runs.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";

type Settings = { config: Pick<ContainerRecord["config"], "ExposedPorts">; hostConfig: Pick<ContainerRecord["hostConfig"], "PortBindings" | "PublishAllPorts"> };

type Binding = { HostIp: string; HostPort: string };

/** A binding of one port of the container; with a count of this and the next ones. */
interface Bound extends PortRun {
  protocol: string;
  binding: Binding;
}

const ANY_PORT: readonly Binding[] = [{ HostIp: "", HostPort: "" }];

/** By the container's ports, in the order of their bindings; consecutive ones as one. Ports are in the form "80/tcp". */
export function portRequests({ config, hostConfig }: Settings): PortRequest[] {
  const bindings = hostConfig.PortBindings ?? {};
  const exposed = hostConfig.PublishAllPorts ? Object.keys(config.ExposedPorts ?? {}) : [];
  const own = new Set(exposed);
  const ports = [...Object.keys(bindings), ...exposed.filter((port) => !Object.hasOwn(bindings, port))].filter((port) => port !== "").map(portOf);
  const bound: Bound[] = [];
  for (const { text, port, protocol } of ports.sort(byNumber)) {
    const asked = bindings[text] ?? [];
    for (const binding of asked.length > 0 ? asked : own.has(text) ? ANY_PORT : []) bound.push({ port, protocol, hostPort: exactPort(binding.HostPort), binding });
  }
  // Those that have no port of their own yet are no run.
  let alone = 0;
  return joined(bound, ({ port, hostPort, protocol, binding }) => (hostPort === 0 ? String(alone++) : `${protocol} ${hostPort - port} ${binding.HostIp}`)).map(request);
}

function request({ port, protocol, count = 1, hostPort, binding: { HostIp, HostPort } }: Bound): PortRequest {
  if (!isProtocol(protocol)) throw invalidParameter(`invalid transport protocol: ${protocol}`);
  const hostAddress = HostIp === "" ? undefined : parseIp(HostIp);
  const hostPorts = hostPort > 0 ? { first: hostPort, last: hostPort + count - 1 } : rangeOf(HostPort);
  return { protocol, port, ...(hostAddress ? { hostAddress } : {}), ...(hostPorts ? { hostPorts } : {}), ...counted(count) };
}

function portOf(text: string): { text: string; port: number; protocol: string } {
  const slash = text.indexOf("/");
  return { text, port: Number(text.slice(0, slash)), protocol: text.slice(slash + 1) };
}

/** 0: none, or any of several. */
const exactPort = (text: string): number => (/^\d+$/.test(text) ? Number(text) : 0);

function rangeOf(text: string): PortRequest["hostPorts"] {
  const [first = 0, last = first] = text.replace(/\/.*/s, "").split("-").map(Number);
  return last > 0 ? { first, last } : undefined;
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
const byNumber = (one: { text: string; port: number }, other: { text: string; port: number }): number => one.port - other.port || (one.text < other.text ? -1 : 1);

export const storedPorts = (ports: readonly PublishedPort[]): PortState[] => ports.map(({ protocol, port, hostAddress, hostPort, count = 1 }) => ({ protocol, port, hostIp: formatIp(hostAddress), hostPort, ...counted(count) }));

export const publishedPorts = (ports: readonly PortState[]): PublishedPort[] =>
  ports.flatMap(({ protocol, port, hostIp, hostPort, count = 1 }) => {
    const hostAddress = parseIp(hostIp);
    return hostAddress ? [{ protocol, port, hostAddress, hostPort, ...counted(count) }] : [];
  });
