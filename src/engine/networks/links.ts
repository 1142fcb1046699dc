/** Legacy links of the default bridge network: names of other containers in the hosts file and, where the daemon is asked to keep them, variables. */
import type { ContainerRecord, EndpointState } from "../../core/container.ts";
import { systemError } from "../../lib/errors.ts";
import { parseLink } from "../containers/links.ts";
import type { HostsEntry } from "./hosts-file.ts";

interface Linked {
  alias: string;
  child: ContainerRecord;
  endpoint: EndpointState;
}

/** Docker's name of the wish to have the variables of old times. */
const KEEP_VARIABLES = "DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS";

export const hasLinks = ({ hostConfig }: ContainerRecord): boolean => hostConfig.NetworkMode === "bridge" && (hostConfig.Links?.length ?? 0) > 0;

export const isLinkedTo = (record: ContainerRecord, { id, name }: ContainerRecord): boolean =>
  hasLinks(record) && (record.hostConfig.Links ?? []).some((text) => {
    const { container } = parseLink(text);
    return container === name || id.startsWith(container);
  });

/** Throws Docker's errors for links to containers that cannot be reached. */
function linkedOf(record: ContainerRecord, find: (ref: string) => ContainerRecord): Linked[] {
  if (!hasLinks(record)) return [];
  return (record.hostConfig.Links ?? []).map((text) => {
    const { container, alias } = parseLink(text);
    const child = find(container);
    const endpoint = child.network?.endpoints.find(({ networkName }) => networkName === "bridge");
    if (!child.network) throw systemError(`Cannot link to a non running container: /${child.name} AS /${record.name}/${alias}`);
    if (!endpoint) throw systemError(`Cannot link to /${child.name}, as it does not belong to the default network`);
    return { alias, child, endpoint };
  });
}

/** Throws Docker's errors for links that a start in the default network would not find. */
export const requireLinked = (record: ContainerRecord, find: (ref: string) => ContainerRecord): void => void linkedOf(record, find);

/** By alias, host name and name. For a container that `runs` already, linked ones that are gone are left out. */
export function linkHosts(record: ContainerRecord, find: (ref: string) => ContainerRecord, runs: boolean): HostsEntry[] {
  const texts = record.hostConfig.Links ?? [];
  const reached = runs ? texts.filter((text) => isReached({ ...record, hostConfig: { ...record.hostConfig, Links: [text] } }, find)) : texts;
  return linkedOf({ ...record, hostConfig: { ...record.hostConfig, Links: reached } }, find).flatMap(({ alias, child, endpoint }) => {
    const names = [alias, child.config.Hostname, ...(child.name === alias ? [] : [child.name])].join(" ");
    return [endpoint.ipAddress, endpoint.ipv6Address].filter((address) => address !== "").map((address) => ({ address, names }));
  });
}

function isReached(record: ContainerRecord, find: (ref: string) => ContainerRecord): boolean {
  try {
    return linkedOf(record, find).length > 0;
  } catch {
    return false;
  }
}

export function linkVariables(record: ContainerRecord, find: (ref: string) => ContainerRecord): string[] {
  if (process.env[KEEP_VARIABLES] !== "1") return [];
  return linkedOf(record, find).flatMap(({ alias, child, endpoint }) => variablesOf({ alias, path: `/${record.name}/${alias}`, address: endpoint.ipAddress, child }));
}

interface Port {
  protocol: string;
  number: number;
}

function variablesOf({ alias, path, address, child }: { alias: string; path: string; address: string; child: ContainerRecord }): string[] {
  const prefix = alias.toUpperCase().replaceAll("-", "_");
  const ports = Object.keys(child.config.ExposedPorts ?? {}).map((text): Port => ({ number: Number.parseInt(text), protocol: text.split("/")[1] ?? "tcp" })).sort(tcpFirst);
  const url = ({ protocol, number }: Port): string => `${protocol}://${address}:${number}`;
  const nameOf = ({ protocol, number }: Port): string => `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  const single = ports.flatMap((port) => [`${nameOf(port)}=${url(port)}`, `${nameOf(port)}_ADDR=${address}`, `${nameOf(port)}_PORT=${port.number}`, `${nameOf(port)}_PROTO=${port.protocol}`]);
  const ranges = runsOf(ports).flatMap(([first, last]) => [`${nameOf(first)}_START=${url(first)}`, `${nameOf(first)}_PORT_START=${first.number}`, `${nameOf(first)}_END=${url(last)}`, `${nameOf(first)}_PORT_END=${last.number}`]);
  const own = (child.config.Env ?? []).filter((entry) => entry.includes("=") && !/^(?:HOME|PATH)=/.test(entry)).map((entry) => `${prefix}_ENV_${entry}`);
  return [...(ports[0] ? [`${prefix}_PORT=${url(ports[0])}`] : []), ...single, ...ranges, `${prefix}_NAME=${path}`, ...own];
}

function tcpFirst(one: Port, other: Port): number {
  if (one.protocol === other.protocol) return one.number - other.number;
  if (one.protocol === "tcp" || other.protocol === "tcp") return one.protocol === "tcp" ? -1 : 1;
  return one.protocol < other.protocol ? -1 : 1;
}

/** Consecutive ports of one protocol, where there are at least two. */
function runsOf(ports: readonly Port[]): [first: Port, last: Port][] {
  const runs: [Port, Port][] = [];
  for (const port of ports) {
    const last = runs.at(-1)?.[1];
    if (last?.protocol === port.protocol && last.number + 1 === port.number) runs.at(-1)![1] = port;
    else runs.push([port, port]);
  }
  return runs.filter(([first, last]) => first !== last);
}
