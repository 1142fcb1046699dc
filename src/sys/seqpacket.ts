/**
 * Message sockets (AF_UNIX, SOCK_SEQPACKET) that carry file descriptors, on Node's own event loop; socket pairs and sealed
 * memory files that travel over them.
 */
import { addon } from "./addon.ts";

interface Native {
  seqpacketOpen(fd: number, onMessage: (bytes: Buffer, fds?: number[]) => void, onWritable: () => void, onEnd: (errno: number) => void): unknown;
  seqpacketSend(connection: unknown, bytes: Buffer, fds: readonly number[]): boolean;
  seqpacketClose(connection: unknown): void;
  seqpacketConnect(path: string, stream: boolean): number;
  socketPair(seqpacket: boolean): [number, number];
  sealedMemory(name: string, bytes: Buffer): number;
  peerCredentials(fd: number): [pid: number, uid: number];
  unreadBytes(fd: number): number;
}

const native = addon as unknown as Native;

export interface SeqpacketHandlers {
  /** The fds belong to the receiver, who closes them. */
  message(bytes: Buffer, fds: number[]): void;
  /** Once: the other end closed (errno 0), an error, but not after close(). */
  end(errno: number): void;
}

interface Waiting {
  bytes: Buffer;
  fds: readonly number[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** One connected socket. Takes the fd over. */
export class Seqpacket {
  readonly #connection: unknown;
  #waiting: Waiting[] = [];
  #open = true;

  constructor(fd: number, handlers: SeqpacketHandlers) {
    this.#connection = native.seqpacketOpen(
      fd,
      (bytes, fds) => handlers.message(bytes, fds ?? []),
      () => this.#flush(),
      (errno) => {
        this.#ended();
        handlers.end(errno);
      },
    );
  }

  /** Resolves when the message is in the socket: `bytes` and `fds`, which stay the caller's, may then be used again. Rejects when the socket is closed. */
  send(bytes: Buffer, fds: readonly number[] = []): Promise<void> {
    if (!this.#open) return Promise.reject(new Error("the connection is closed"));
    if (this.#waiting.length === 0) {
      try {
        if (native.seqpacketSend(this.#connection, bytes, fds)) return Promise.resolve();
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return new Promise((resolve, reject) => this.#waiting.push({ bytes, fds, resolve, reject }));
  }

  close(): void {
    if (!this.#open) return;
    native.seqpacketClose(this.#connection);
    this.#ended();
  }

  #flush(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      try {
        if (!native.seqpacketSend(this.#connection, next.bytes, next.fds)) return;
        next.resolve();
      } catch (error) {
        next.reject(error);
      }
      this.#waiting.shift();
    }
  }

  #ended(): void {
    this.#open = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.reject(new Error("the connection is closed"));
  }
}

/** An fd connected to the listening socket at `path`. Throws with code ENOENT or ECONNREFUSED when nobody listens. */
export function connectSeqpacket(path: string): number {
  return native.seqpacketConnect(path, false);
}

/** The same to a socket of streams; Seqpacket sends files over it as well. */
export function connectStream(path: string): number {
  return native.seqpacketConnect(path, true);
}

/** Two connected fds, closed on exec. */
export function socketPair(kind: "stream" | "seqpacket"): [number, number] {
  return native.socketPair(kind === "seqpacket");
}

/** An fd of a memory file with these bytes that nobody can change any more. */
export function sealedMemory(name: string, bytes: Buffer): number {
  return native.sealedMemory(name, bytes);
}

/** Who connected the unix socket `fd`; pid 0: not visible from here. */
export function peerCredentials(fd: number): [pid: number, uid: number] {
  return native.peerCredentials(fd);
}

/** What the other end of the unix socket `fd` has not received yet, as the kernel counts it (SIOCOUTQ in unix(7)); 0: it has all. */
export function unreadBytes(fd: number): number {
  return native.unreadBytes(fd);
}
