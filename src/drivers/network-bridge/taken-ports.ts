/** The host ports of all endpoints of this daemon, to tell them from those of other programs. */
import { PortBusy } from "../../core/network-ports.ts";
import type { PublishedPort } from "../../core/network-ports.ts";
import { countOf } from "../../core/port-runs.ts";
import { systemError } from "../../lib/errors.ts";
import { formatIp } from "../../lib/ip.ts";

/** Of one protocol and family. */
interface Numbers {
  /** A bit for each port that is taken at every address. */
  everywhere: Uint8Array;
  /** Single addresses, by port. */
  addresses: Map<number, bigint[]>;
}

const PORTS = 65_536;

export class TakenPorts {
  readonly #numbers = new Map<string, Numbers>();

  /** All or none. */
  addAll(ports: readonly PublishedPort[]): void {
    ports.forEach((run, index) => {
      const conflict = this.#conflict(run);
      if (conflict === undefined) return this.add(run);
      ports.slice(0, index).forEach((added) => this.delete(added));
      throw systemError(`Bind for ${withPort({ ...run, hostPort: conflict })} failed: port is already allocated`, new PortBusy(conflict));
    });
  }

  add(run: PublishedPort): void {
    const { everywhere, addresses } = this.#of(run);
    const { value } = run.hostAddress;
    for (let port = run.hostPort; port <= lastOf(run); port++) {
      if (value === 0n) everywhere[port >> 3]! |= 1 << (port & 7);
      else addresses.set(port, [...(addresses.get(port) ?? []), value]);
    }
  }

  delete(run: PublishedPort): void {
    const { everywhere, addresses } = this.#of(run);
    const { value } = run.hostAddress;
    for (let port = run.hostPort; port <= lastOf(run); port++) {
      const left = value === 0n ? [] : (addresses.get(port) ?? []).filter((address) => address !== value);
      if (value === 0n) everywhere[port >> 3]! &= ~(1 << (port & 7));
      else if (left.length > 0) addresses.set(port, left);
      else addresses.delete(port);
    }
  }

  /** The first of its ports that is taken; the wildcard address with every other. */
  #conflict(run: PublishedPort): number | undefined {
    const { everywhere, addresses } = this.#of(run);
    const { value } = run.hostAddress;
    const isTaken = (port: number): boolean => (everywhere[port >> 3]! & (1 << (port & 7))) !== 0 || (addresses.size > 0 && (value === 0n ? addresses.has(port) : addresses.get(port)?.includes(value) === true));
    for (let port = run.hostPort; port <= lastOf(run); port++) if (isTaken(port)) return port;
    return undefined;
  }

  #of({ protocol, hostAddress: { family } }: PublishedPort): Numbers {
    const key = `${protocol}/${family}`;
    const present = this.#numbers.get(key) ?? { everywhere: new Uint8Array(PORTS / 8), addresses: new Map<number, bigint[]>() };
    this.#numbers.set(key, present);
    return present;
  }
}

const lastOf = (run: PublishedPort): number => run.hostPort + countOf(run) - 1;

export const withPort = ({ hostAddress, hostPort }: Pick<PublishedPort, "hostAddress" | "hostPort">): string => (hostAddress.family === 4 ? `${formatIp(hostAddress)}:${hostPort}` : `[${formatIp(hostAddress)}]:${hostPort}`);
