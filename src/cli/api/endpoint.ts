/** Where a daemon listens, and how to get a connection to it. */
import type { Socket } from "node:net";
import { openError } from "../open-error.ts";
import { BlockingSocket } from "./blocking-socket.ts";
import type { Connection } from "./reader.ts";
import { parseSshUrl } from "./ssh-target.ts";

export interface TlsFiles {
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  verify: boolean;
}

export interface Endpoint {
  /** As the user gave it, normalised: `unix:///run/x.sock`, `tcp://127.0.0.1:2376`. */
  host: string;
  socketPath: string | undefined;
  /** `host:port`, or "" for a socket path. */
  address: string;
  secure: boolean;
  dial(): Promise<Connection>;
}

const DEFAULT_TCP_HOST = "localhost";

/** Docker's spelling rules for -H and DOCKER_HOST. Throws an Error with Docker's words. */
export function normaliseHost(value: string, secure: boolean): string {
  const text = value.trim();
  const separator = text.indexOf("://");
  const scheme = separator < 0 ? "tcp" : text.slice(0, separator);
  const rest = separator < 0 ? text : text.slice(separator + 3);
  switch (scheme) {
    case "unix":
      if (rest.includes("://")) throw new Error(`invalid proto, expected unix: ${rest}`);
      return `unix://${rest === "" ? "/var/run/docker.sock" : rest}`;
    case "tcp":
      return normaliseTcp(rest, secure ? "2376" : "2375");
    case "ssh":
      parseSshUrl(text);
      return text;
    case "http":
    case "https":
    case "npipe":
    case "fd":
      throw new Error(`unsupported protocol scheme "${scheme}" in ${JSON.stringify(text)}: use unix://, tcp:// or ssh://`);
    default:
      throw new Error(`invalid bind address format: ${text}`);
  }
}

function normaliseTcp(address: string, port: string): string {
  if (address.includes("://")) throw new Error(`invalid proto, expected tcp: ${address}`);
  const match = /^(\[[^\]]*\]|[^:/]*)(?::([^/]*))?(\/.*)?$/.exec(address);
  if (!match) throw new Error(`invalid bind address format: ${address}`);
  const [, host = "", given = "", path = ""] = match;
  if (given !== "" && !/^\d+$/.test(given)) throw new Error(`invalid bind address format: ${address}`);
  return `tcp://${host || DEFAULT_TCP_HOST}:${given || port}${path}`;
}

/** With `connect`, connections to a path block: for programs that do nothing else while they wait. They cannot be taken over. */
export function openEndpoint(host: string, tls: TlsFiles | undefined, connect?: (path: string) => number): Endpoint {
  const material = tls && loadTls(tls);
  if (host.startsWith("unix://")) {
    const socketPath = host.slice("unix://".length);
    return { host, socketPath, address: "", secure: false, dial: () => (connect ? dialBlocking(socketPath, connect) : dial({ path: socketPath })) };
  }
  if (host.startsWith("ssh://")) {
    const target = parseSshUrl(host);
    return { host, socketPath: undefined, address: target.host, secure: false, dial: async () => new (await import("./ssh.ts")).SshConnection(target) };
  }
  const address = host.slice("tcp://".length).replace(/\/.*$/, "");
  const colon = address.lastIndexOf(":");
  const target = { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) };
  const open = async (): Promise<Connection> => {
    const through = await tunnel(target, tls !== undefined);
    return material ? dialTls(target, material, through) : (through ?? dial(target));
  };
  return { host, socketPath: undefined, address, secure: tls !== undefined, dial: open };
}

/** Undefined: no proxy is asked. */
async function tunnel(target: { host: string; port: number }, secure: boolean): Promise<Socket | undefined> {
  const names = [secure ? "https_proxy" : "http_proxy", "all_proxy"];
  if (!names.some((name) => process.env[name] || process.env[name.toUpperCase()])) return undefined;
  return (await import("./proxy.ts")).dialThroughProxy(target, secure, process.env);
}

interface LoadedTls {
  ca: Buffer | undefined;
  cert: Buffer | undefined;
  key: Buffer | undefined;
  rejectUnauthorized: boolean;
}

/** Throws in Go's words when one cannot be read. */
function loadTls({ ca, cert, key, verify }: TlsFiles): LoadedTls {
  const fs = process.getBuiltinModule("node:fs");
  const read = (file: string | undefined): Buffer | undefined => {
    try {
      return file === undefined ? undefined : fs.readFileSync(file);
    } catch (thrown) {
      throw openError(file as string, thrown);
    }
  };
  return { ca: read(ca), cert: read(cert), key: read(key), rejectUnauthorized: verify };
}

async function dialBlocking(path: string, connect: (path: string) => number): Promise<Connection> {
  return new BlockingSocket(connect(path));
}

function dial(target: { path: string } | { host: string; port: number }): Promise<Socket> {
  const net = process.getBuiltinModule("node:net");
  const socket = net.connect({ ...target, allowHalfOpen: true });
  if (!("path" in target)) socket.setNoDelay(true).setKeepAlive(true, 30_000);
  return connected(socket, "connect");
}

function dialTls(target: { host: string; port: number }, material: LoadedTls, through: Socket | undefined): Promise<Socket> {
  const tls = process.getBuiltinModule("node:tls");
  const socket = tls.connect({
    ...(through ? { socket: through } : target),
    ...material,
    ...(process.getBuiltinModule("node:net").isIP(target.host) ? {} : { servername: target.host }),
  });
  return connected(socket, "secureConnect");
}

function connected(socket: Socket, event: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once(event, () => {
      socket.removeListener("error", reject);
      resolve(socket);
    });
  });
}
