/** --publish and --expose. */
import { parseIp } from "../../lib/ip.ts";

export interface PortBinding {
  HostIp: string;
  HostPort: string;
}

export interface Ports {
  exposed: Record<string, object>;
  bindings: Record<string, PortBinding[]>;
}

function portNumber(text: string): number {
  if (text === "") throw new Error("value is empty");
  if (!/^[+-]?\d+$/.test(text)) throw new Error("invalid syntax");
  const port = Number(text);
  if (!(port >= 0 && port <= 65535)) throw new Error("value out of range (0–65535)");
  return port;
}

function edge(name: string, text: string): number {
  try {
    return portNumber(text);
  } catch (thrown) {
    throw new Error(`invalid ${name} port '${text}': ${(thrown as Error).message}`);
  }
}

/** "80" or "80-90". Throws an Error with Docker's words. */
export function portRange(text: string): { start: number; end: number } {
  if (text === "") throw new Error("empty string specified for ports");
  const dash = text.indexOf("-");
  const first = dash < 0 ? text : text.slice(0, dash);
  const start = edge("start", first);
  if (dash < 0 || first === text.slice(dash + 1)) return { start, end: start };
  const end = edge("end", text.slice(dash + 1));
  if (end < start) throw new Error(`invalid port range: ${text}`);
  return { start, end };
}

/** Throws an Error with Docker's words. */
export function parsePorts(publish: string[], expose: string[]): Ports {
  const ports: Ports = { exposed: {}, bindings: {} };
  for (const text of publish) addPublished(ports, shortNotation(text));
  for (const text of expose) addExposed(ports, text);
  return ports;
}

/** "published=8080,target=80,protocol=udp" as "8080:80/udp". */
function shortNotation(text: string): string {
  if (!text.includes("=")) return text;
  const fields: Record<string, string> = { protocol: "tcp" };
  for (const field of text.split(",")) {
    const equals = field.indexOf("=");
    if (equals <= 0) throw new Error(`invalid publish opts format (should be name=value but got '${field}')`);
    fields[field.slice(0, equals)] = field.slice(equals + 1);
  }
  return `${fields["published"] ?? ""}:${fields["target"] ?? ""}/${fields["protocol"]}`;
}

function addPublished(ports: Ports, text: string): void {
  const parts = text.split(":");
  const containerPart = parts.pop() ?? "";
  const hostPort = parts.pop() ?? "";
  const ip = hostAddress(parts.join(":"));
  const slash = containerPart.indexOf("/");
  const containerPort = slash < 0 ? containerPart : containerPart.slice(0, slash);
  if (containerPort === "") throw new Error(`no port specified: ${text}<empty>`);
  const protocol = ((slash < 0 ? "" : containerPart.slice(slash + 1)) || "tcp").toLowerCase();
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw new Error(`invalid proto: ${protocol}`);
  if (ip !== "" && parseIp(ip) === undefined) throw new Error(`invalid IP address: ${ip}`);
  const inside = named("containerPort", containerPort);
  const outside = hostPort === "" ? undefined : named("hostPort", hostPort);
  const count = inside.end - inside.start + 1;
  if (outside && outside.end - outside.start !== count - 1 && count !== 1) throw new Error(`invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`);
  for (let index = 0; index < count; index++) {
    const key = `${inside.start + index}/${protocol}`;
    const range = outside && count === 1 && outside.start !== outside.end ? `-${outside.end}` : "";
    ports.exposed[key] = {};
    (ports.bindings[key] ??= []).push({ HostIp: ip, HostPort: outside ? `${outside.start + index}${range}` : "" });
  }
}

function named(name: string, text: string): { start: number; end: number } {
  try {
    return portRange(text);
  } catch {
    throw new Error(`invalid ${name}: ${text}`);
  }
}

function hostAddress(text: string): string {
  if (!text.startsWith("[")) return text;
  if (!text.endsWith("]")) throw new Error(`invalid IP address ${text}: address ${text}:: missing ']' in address`);
  return text.slice(1, -1);
}

function addExposed(ports: Ports, text: string): void {
  const slash = text.indexOf("/");
  const protocol = (slash < 0 ? "tcp" : text.slice(slash + 1) || "tcp").toLowerCase();
  let range: { start: number; end: number };
  try {
    range = portRange(slash < 0 ? text : text.slice(0, slash));
  } catch (thrown) {
    throw new Error(`invalid range format for --expose: ${(thrown as Error).message}`);
  }
  for (let port = range.start; port <= range.end; port++) ports.exposed[`${port}/${protocol}`] = {};
}
