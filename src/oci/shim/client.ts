/** A connection to one shim: requests get the reply with their serial; exits are told without being asked. */
import { setTimeout as sleep } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import { Seqpacket } from "../../sys/seqpacket.ts";
import type { ShimExit, ShimFailure, ShimReply, ShimStatus } from "./protocol.ts";
import { decodeReply, encodeStatus } from "./protocol.ts";

/** A request that the shim refused or could not carry out. */
export class ShimError extends Error {
  readonly failure: ShimFailure;
  /** Errno name. */
  readonly code: string;

  constructor(failure: ShimFailure) {
    const code = errnoName(failure.errno);
    super(`${failure.step}${failure.subject ? ` ${failure.subject}` : ""}: ${code}`);
    this.name = "ShimError";
    this.failure = failure;
    this.code = code;
  }
}

/** The shim is gone. */
export class ShimGone extends Error {
  constructor() {
    super("the shim has gone away");
    this.name = "ShimGone";
  }
}

const ECHILD = 10;

/** libuv has no name for ECHILD, by which the shim says that init was killed before it could execute anything. */
export function errnoName(errno: number): string {
  if (errno === ECHILD) return "ECHILD";
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

export interface ShimEvents {
  exited(exit: ShimExit): void;
  execExited(id: string, exit: ShimExit): void;
  /** The connection ended, and not by close(). */
  gone(): void;
}

type Pending = { resolve: (reply: ShimReply) => void; reject: (error: unknown) => void };

export class ShimConnection {
  readonly #socket: Seqpacket;
  readonly #pending = new Map<number, Pending>();
  #serial = 0;
  #closed = false;
  #events: ShimEvents | undefined;

  /** Takes the fd over. */
  constructor(fd: number) {
    this.#socket = new Seqpacket(fd, {
      message: (bytes) => this.#receive(bytes),
      end: () => {
        this.#end();
        this.#events?.gone();
      },
    });
  }

  /** The shim is gone, or close() was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Before the first request. */
  listen(events: ShimEvents): void {
    this.#events = events;
  }

  /** `encode` gets the serial; the fds stay the caller's and may be closed when the promise of `sent` resolves. */
  request(encode: (serial: number) => Buffer, fds: readonly number[] = [], sent?: () => void): Promise<ShimReply> {
    if (this.#closed) {
      sent?.();
      return Promise.reject(new ShimGone());
    }
    const serial = ++this.#serial;
    return new Promise<ShimReply>((resolve, reject) => {
      this.#pending.set(serial, { resolve, reject });
      this.#socket
        .send(encode(serial), fds)
        .catch(() => {
          this.#pending.delete(serial);
          reject(new ShimGone());
        })
        .finally(sent);
    });
  }

  close(): void {
    this.#socket.close();
    this.#end();
  }

  /** What cannot be understood fails whoever waits for an answer, not the program. */
  #receive(bytes: Buffer): void {
    let reply: ShimReply;
    try {
      reply = decodeReply(bytes);
    } catch (error) {
      this.#rejectPending(error);
      return;
    }
    this.#message(reply);
  }

  #message(reply: ShimReply): void {
    if (reply.type === "exited") return this.#events?.exited(reply.exit);
    if (reply.type === "execExited") return this.#events?.execExited(reply.id, reply.exit);
    const pending = this.#pending.get(reply.serial);
    this.#pending.delete(reply.serial);
    if (reply.type === "failed") pending?.reject(new ShimError(reply.failure));
    else pending?.resolve(reply);
  }

  #end(): void {
    this.#closed = true;
    this.#rejectPending(new ShimGone());
  }

  #rejectPending(error: unknown): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.reject(error);
  }
}

/** A shim in the middle of a start, whose daemon died, is done within moments. */
export async function settledStatus(connection: ShimConnection): Promise<ShimStatus> {
  for (let tries = 0; ; tries++) {
    const reply = await connection.request(encodeStatus);
    if (reply.type !== "status") throw new ShimGone();
    if (reply.status.state !== "starting" || tries === 500) return reply.status;
    await sleep(10);
  }
}
