/**
 * How many connections the API holds, over all its listeners.
 *
 *   accepted ──▶ waiting ──request──▶ serving ──answered──▶ waiting ──▶ closed
 *
 * A waiting connection costs its client nothing, so there is room for a bounded number: the one that has waited longest makes
 * place for a new one. Clients that keep idle connections open them again. Serving connections are bounded by the limit on all.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

export interface ConnectionLimits {
  /** Connections without a request under way. */
  waiting: number;
  /** All connections. */
  total: number;
}

/** For a process that may open so many files: half of them are for connections. */
export function limitsFor(openFiles: number): ConnectionLimits {
  const total = Math.max(64, Math.min(16384, Math.trunc(openFiles / 2)));
  return { total, waiting: Math.min(1024, Math.trunc(total / 2)) };
}

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #waiting = new Set<Duplex>();
  readonly #all = new Set<Duplex>();
  readonly #handshakes = new Map<string, Socket>();
  readonly #streams = new Map<Duplex, () => boolean>();

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get total(): number {
    return this.#all.size;
  }

  /** Those whose answers go on until somebody ends them. */
  get streams(): number {
    return [...this.#streams.values()].filter((isStream) => isStream()).length;
  }

  /** A new connection; it may be closed at once, or close the one that has waited longest. */
  accepted(socket: Duplex): void {
    this.#add(socket);
  }

  /** A new connection that has its TLS handshake before it: `secured` gets another object for it. */
  acceptedForHandshake(socket: Socket): void {
    const peer = peerOf(socket);
    this.#handshakes.set(peer, socket);
    socket.once("close", () => this.#handshakes.delete(peer));
    this.#add(socket);
  }

  secured(socket: Socket): void {
    const bare = this.#handshakes.get(peerOf(socket));
    if (bare !== undefined) {
      this.#handshakes.delete(peerOf(socket));
      this.#all.delete(bare);
      this.#waiting.delete(bare);
    }
    this.#add(socket);
  }

  #add(socket: Duplex): void {
    if (this.#all.size >= this.#limits.total && !this.#evict()) {
      socket.destroy();
      return;
    }
    this.#all.add(socket);
    this.#waiting.add(socket);
    socket.once("close", () => {
      this.#all.delete(socket);
      this.#waiting.delete(socket);
      this.#streams.delete(socket);
    });
    if (this.#waiting.size > this.#limits.waiting) this.#evict();
  }

  /** `isStream` tells later whether the answer has become one without an end of its own: events, a followed log, an attachment. */
  serving(socket: Duplex, isStream: () => boolean): void {
    this.#waiting.delete(socket);
    this.#streams.set(socket, isStream);
  }

  /** The answer is out and the connection is kept. */
  answered(socket: Duplex): void {
    this.#streams.delete(socket);
    if (this.#all.has(socket)) this.#waiting.add(socket);
  }

  closeWaiting(): void {
    for (const socket of this.#waiting) socket.destroy();
  }

  /** Those that would keep a daemon from ending for as long as their containers run. */
  closeStreams(): void {
    for (const [socket, isStream] of this.#streams) if (isStream()) socket.destroy();
  }

  closeAll(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #evict(): boolean {
    for (const socket of this.#waiting) {
      this.#waiting.delete(socket);
      socket.destroy();
      return true;
    }
    return false;
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
