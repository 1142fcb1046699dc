/**
 * Serves published ports of the host at addresses of a family that the container has not: nothing in the kernel hands a packet of
 * the one to the other. A program of its own, native/relay, does it for all containers of a daemon; it outlives the daemon, and is
 * told again what it serves when it died.
 */
import type { PublishedEndpoint, PublishedPort } from "../../core/network-ports.ts";
import { countOf } from "../../core/port-runs.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import { ipToBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import type { PortReservation } from "../../sys/port-reservation.ts";
import { Seqpacket, connectSeqpacket } from "../../sys/seqpacket.ts";
import { PROTOCOL_NUMBER } from "./published.ts";

export interface Relay {
  /** The endpoint's relayed ports are these and no others. `sockets` has them bound, and is asked again when the program died. */
  serve(endpointId: string, ports: readonly RelayedPort[], sockets: () => PortReservation): Promise<void>;
  /** Idempotent; cheap where nothing is served. */
  drop(endpointId: string): Promise<void>;
  /** As drop(), of what an earlier life of the daemon had it serve. */
  forget(endpointId: string): Promise<void>;
  /** Ends what an earlier life of the daemon left of others. */
  keepOnly(endpointIds: readonly string[]): Promise<void>;
  /** What is served stays so. */
  close(): void;
}

export interface RelayedPort extends PublishedPort {
  target: IpAddress;
}

export interface RelayProgram {
  socketPath: string;
  /** Resolves when it listens. */
  start(): Promise<void>;
}

const LOOPBACK6 = 1n;

/** The kernel forwards nothing to and from link-local addresses, and ::1 not everywhere: who asks there needs a program. */
const isUnforwarded = ({ hostAddress: { family, value } }: PublishedPort, loopback6: boolean): boolean => family === 6 && (value === 0n || (value === LOOPBACK6 && loopback6));

/**
 * Those that the endpoint's addresses leave unserved, and those at addresses that the kernel does not redirect: `loopback6` says
 * that ::1 is one of these. Without rules in the kernel that is every one.
 */
export function relayedPorts({ addresses, ports }: Pick<PublishedEndpoint, "addresses" | "ports">, { rules, loopback6 = false }: { rules: boolean; loopback6?: boolean }): RelayedPort[] {
  return ports.flatMap((port) => {
    const { hostAddress, hostPort, protocol } = port;
    const own = addresses.find(({ address }) => address.family === hostAddress.family);
    const isServed = own !== undefined && rules && !isUnforwarded(port, loopback6);
    if (hostPort === 0 || protocol === "sctp" || isServed) return [];
    const target = (own ?? addresses[0])?.address;
    return target ? [{ ...port, target }] : [];
  });
}

interface Served {
  ports: readonly RelayedPort[];
  sockets: () => PortReservation;
}

const RESTART_MS = 500;

export function createRelay({ socketPath, start }: RelayProgram, warn: (message: string) => void): Relay {
  const served = new Map<string, Served>();
  let connecting: Promise<Seqpacket | undefined> | undefined;
  let answers: { resolve: (errno: number) => void; reject: (error: unknown) => void }[] = [];
  let closed = false;

  const open = (): Seqpacket =>
    new Seqpacket(connectSeqpacket(socketPath), {
      message: (bytes) => answers.shift()?.resolve(bytes.readInt32LE(0)),
      end: () => {
        connecting = undefined;
        const waiting = answers;
        answers = [];
        for (const { reject } of waiting) reject(systemError("the relay of published ports ended"));
        if (!closed && served.size > 0) setTimeout(() => void tellAgain(), RESTART_MS);
      },
    });

  const connect = async (begin: boolean): Promise<Seqpacket | undefined> => {
    try {
      return open();
    } catch {
      if (!begin) return undefined;
      await start();
      return open();
    }
  };

  /** undefined: it does not run, and shall not. */
  const connection = async (begin: boolean): Promise<Seqpacket | undefined> => {
    const present = await connecting?.catch(() => undefined);
    if (present || (connecting && !begin)) return present;
    const made = connect(begin);
    connecting = made;
    const forget = (): void => {
      if (connecting === made) connecting = undefined;
    };
    const found = await made.catch((error: unknown) => {
      forget();
      throw error;
    });
    if (!found) forget();
    return found;
  };

  const ask = async (message: Buffer, { begin, fd }: { begin: boolean; fd?: number }): Promise<void> => {
    const relay = await connection(begin);
    if (!relay) return;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    answers.push({ resolve, reject });
    await relay.send(message, fd === undefined ? [] : [fd]);
    const errno = await promise;
    if (errno !== 0) throw systemError(`the relay of published ports refused them: errno ${errno}`);
  };

  const tell = async (endpointId: string, { ports, sockets }: Served): Promise<void> => {
    const bundle = sockets();
    try {
      await ask(Buffer.concat([Buffer.from("S"), Buffer.from(endpointId, "hex"), encode(ports)]), { begin: true, fd: bundle.fd });
    } finally {
      bundle.close();
    }
  };

  const end = (endpointId: string): Promise<void> => ask(Buffer.concat([Buffer.from("S"), Buffer.from(endpointId, "hex")]), { begin: false });

  const tellAgain = async (): Promise<void> => {
    warn("the relay of published ports ended and is started again");
    for (const [endpointId, one] of served) await tell(endpointId, one).catch((error: unknown) => warn(messageOf(error)));
  };

  return {
    serve: async (endpointId, ports, sockets) => {
      const before = served.has(endpointId);
      if (ports.length === 0 && !before) return;
      if (ports.length === 0) served.delete(endpointId);
      else served.set(endpointId, { ports, sockets });
      await tell(endpointId, { ports, sockets });
    },
    drop: async (endpointId) => {
      if (served.delete(endpointId)) await end(endpointId);
    },
    forget: (endpointId) => end(endpointId),
    keepOnly: (endpointIds) => ask(Buffer.concat([Buffer.from("K"), ...endpointIds.map((id) => Buffer.from(id, "hex"))]), { begin: false }),
    close: () => {
      closed = true;
      void connecting?.then((relay) => relay?.close(), () => undefined);
    },
  };
}

const ENTRY_BYTES = 44;

/** Consecutive ports are one entry: native/relay/control.c has the form. */
function encode(ports: readonly RelayedPort[]): Buffer {
  const runs: { first: RelayedPort; count: number }[] = [];
  for (const port of ports.toSorted(byPlace)) {
    const last = runs.at(-1);
    if (last && continues(last.first, last.count, port)) last.count += countOf(port);
    else runs.push({ first: port, count: countOf(port) });
  }
  return Buffer.concat(runs.map(({ first, count }) => {
    const entry = Buffer.alloc(ENTRY_BYTES);
    entry.set([PROTOCOL_NUMBER[first.protocol], first.hostAddress.family, first.target.family]);
    entry.writeUInt16LE(first.hostPort, 4);
    entry.writeUInt16LE(first.port, 6);
    entry.writeUInt16LE(count, 8);
    entry.set(ipToBytes(first.hostAddress), 12);
    entry.set(ipToBytes(first.target), 28);
    return entry;
  }));
}

const placeOf = ({ protocol, hostAddress: { family, value }, target }: RelayedPort): string => `${protocol} ${family} ${value} ${target.family} ${target.value}`;
const byPlace = (one: RelayedPort, other: RelayedPort): number => (placeOf(one) < placeOf(other) ? -1 : placeOf(one) > placeOf(other) ? 1 : one.hostPort - other.hostPort);
const continues = (first: RelayedPort, count: number, next: RelayedPort): boolean => placeOf(first) === placeOf(next) && next.hostPort === first.hostPort + count && next.port === first.port + count;
