/** The sockets that the API is served on. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import type { AddressInfo, ListenOptions, Socket } from "node:net";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { TlsOptions } from "node:tls";
import type { Logger } from "../../core/logger.ts";
import { Confinement } from "../../api/scopes.ts";
import type { ApiServer, ListenerOptions } from "../../api/server.ts";
import { conflict, invalidParameter, systemError } from "../../lib/errors.ts";
import type { DaemonConfig } from "./config.ts";
import type { TlsConfig } from "./config-listen.ts";
import type { Host } from "./option-values.ts";

/** The first file descriptor that systemd passes. */
const FIRST_PASSED = 3;
const PROBE_MILLISECONDS = 1000;

export interface Opened {
  /** For the log. */
  address: string;
  [Symbol.dispose](): void;
}

/** Opens all addresses of a configuration. On failure those that were opened stay with the server, which is then closed. */
export async function openListeners(api: ApiServer, config: DaemonConfig, log: Logger): Promise<Opened[]> {
  const opened: Opened[] = [];
  for (const host of config.hosts) opened.push(...(await openHost(api, config, { host, log })));
  for (const { path, allow, group } of config.sockets) {
    opened.push(await openUnix(api, { path, gid: group === undefined ? 0 : gidOf({ name: group, chosen: true }, log), confinement: new Confinement(allow) }));
  }
  return opened;
}

async function openHost(api: ApiServer, config: DaemonConfig, { host, log }: { host: Host; log: Logger }): Promise<Opened[]> {
  switch (host.kind) {
    case "unix":
      return [await openUnix(api, { path: host.path, gid: gidOf(config.group, log) })];
    case "tcp":
      return [await openTcp(api, config, { host, log })];
    case "fd":
      return openPassed(api, config, host.name);
  }
}

async function openUnix(api: ApiServer, { path, gid, confinement }: { path: string; gid: number; confinement?: Confinement }): Promise<Opened> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  await removeDeadSocket(path);
  // Until the owner is set nobody but root may connect.
  const mask = process.umask(0o177);
  try {
    await api.listen({ listen: { path }, ...(confinement && { confinement }) });
  } catch (cause) {
    throw systemError(`cannot listen on unix socket ${path}: ${(cause as Error).message}`, cause);
  } finally {
    process.umask(mask);
  }
  chownSync(path, 0, gid);
  chmodSync(path, 0o660);
  const { ino, dev } = statSync(path);
  const isOurs = (): boolean => {
    const now = statSync(path, { throwIfNoEntry: false });
    return now?.ino === ino && now.dev === dev;
  };
  return { address: path, [Symbol.dispose]: () => void (isOurs() && rmSync(path, { force: true })) };
}

/** A socket that nobody serves is what a killed daemon left. */
async function removeDeadSocket(path: string): Promise<void> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw conflict(`cannot listen on unix socket ${path}: a file that is no socket is in its place`);
  if (await answers(path)) throw conflict(`cannot listen on unix socket ${path}: another process serves it`);
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  const net = process.getBuiltinModule("node:net");
  return new Promise((resolve) => {
    const probe: Socket = net.connect({ path });
    const done = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.setTimeout(PROBE_MILLISECONDS, () => done(true));
    probe.once("connect", () => done(true));
    probe.once("error", () => done(false));
  });
}

async function openTcp(api: ApiServer, config: DaemonConfig, { host, log }: { host: Host & { kind: "tcp" }; log: Logger }): Promise<Opened> {
  const name = `tcp://${host.host}:${host.port}`;
  if (config.tls?.verifyClients !== true) {
    log.warn("Binding to IP address without --tlsverify is insecure and gives root access on this machine to everyone who has access to your network.", { host: name });
    if (config.tls === undefined && !config.tlsRefused && !isLoopbackName(host.host)) {
      throw invalidParameter(`${name} would give root's rights to everyone who can reach it: use --tlsverify with certificates, or say --tls=false if that is meant`);
    }
  }
  try {
    const server = await api.listen({ listen: { host: host.host, port: host.port }, ...protection(config, [host.host]) });
    const { address, port } = server.address() as AddressInfo;
    return { address: `${address}:${port}`, [Symbol.dispose]: () => {} };
  } catch (cause) {
    throw systemError(`cannot listen on ${name}: ${(cause as Error).message}`, cause);
  }
}

/** TLS, or without it the names that keep web pages out. */
function protection(config: DaemonConfig, names: string[]): Omit<ListenerOptions, "listen"> {
  const known = new Set([...names, hostname(), ...config.allowedHosts].map((name) => name.toLowerCase()));
  // With TLS a page's own name does not match the certificate; the origin is still checked.
  return config.tls === undefined ? { names: known } : { names: new Set(["*"]), tls: tlsOptions(config.tls) };
}

const isLoopbackName = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

export function tlsOptions({ ca, cert, key, verifyClients }: TlsConfig): TlsOptions {
  if (cert === "" || key === "") throw invalidParameter("invalid TLS configuration: could not load X509 key pair: --tlscert and --tlskey are needed");
  if (verifyClients && ca === "") throw invalidParameter("invalid TLS configuration: could not read CA certificate: --tlscacert is needed with --tlsverify");
  const read = (path: string, what: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw invalidParameter(`invalid TLS configuration: could not read ${what} ${JSON.stringify(path)}: ${(cause as Error).message}`, cause);
    }
  };
  return {
    cert: read(cert, "certificate"),
    key: read(key, "key"),
    ...(verifyClients ? { ca: read(ca, "CA certificate"), requestCert: true, rejectUnauthorized: true } : {}),
    minVersion: "TLSv1.2",
    ALPNProtocols: ["http/1.1"],
  };
}

/** Sockets that systemd opened: all, or those of one name (FileDescriptorName=) or number. */
async function openPassed(api: ApiServer, config: DaemonConfig, name: string): Promise<Opened[]> {
  const { LISTEN_PID: pid, LISTEN_FDS: count = "0", LISTEN_FDNAMES: names = "" } = process.env;
  const labels = names.split(":");
  const all = pid === String(process.pid) ? Array.from({ length: Number(count) }, (_, index) => ({ fd: FIRST_PASSED + index, label: labels[index] ?? "" })) : [];
  const wanted = name === "" || name === "*" ? all : all.filter(({ fd, label }) => label === name || String(fd) === name);
  if (wanted.length === 0) throw invalidParameter("no sockets found via socket activation: make sure the service was started by systemd");
  const opened: Opened[] = [];
  for (const { fd } of wanted) {
    const isTcp = !existsSync(`/proc/self/fd/${fd}`) ? false : isTcpSocket(fd);
    await api.listen({ listen: { fd } as ListenOptions, ...(isTcp ? protection(config, []) : {}) });
    opened.push({ address: `fd://${fd}`, [Symbol.dispose]: () => {} });
  }
  return opened;
}

/** By the inode in the kernel's table of unix sockets. */
function isTcpSocket(fd: number): boolean {
  const { ino } = statSync(`/proc/self/fd/${fd}`);
  return !readFileSync("/proc/self/net/unix", "utf8").split("\n").some((line) => line.trim().split(/\s+/)[6] === String(ino));
}

/** The group that may use the sockets: root's when the default group does not exist. */
function gidOf({ name, chosen }: DaemonConfig["group"], log: Logger): number {
  if (name === "") return 0;
  if (/^\d+$/.test(name)) return Number(name);
  const line = existsSync("/etc/group") ? readFileSync("/etc/group", "utf8").split("\n").find((candidate) => candidate.startsWith(`${name}:`)) : undefined;
  if (line !== undefined) return Number(line.split(":")[2]);
  if (chosen) throw invalidParameter(`could not find the group ${JSON.stringify(name)} for the unix sockets`);
  log.debug(`no group ${name}: only root may use the unix sockets`);
  return 0;
}
