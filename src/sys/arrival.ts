/** A file that grows, and who reads it meanwhile (native/addon/arrival.h): followers near its end have the bytes from memory. */
import type { AnswerBody } from "../lib/connection-body.ts";
import { addon } from "./addon.ts";

export type ArrivalHandle = { readonly arrival: unique symbol };
const native = addon as unknown as {
  arrivalOpen(fd: number, size: number): ArrivalHandle;
  arrivalReceive(arrival: ArrivalHandle, socket: number, head: Uint8Array, length: number, stallMilliseconds: number): Promise<string>;
  arrivalStop(arrival: ArrivalHandle): void;
  arrivalKept(arrival: ArrivalHandle, bytes: number): void;
  arrivalOffset(arrival: ArrivalHandle): number;
  arrivalEnd(arrival: ArrivalHandle, left: boolean): void;
};

export class Arrival {
  readonly handle: ArrivalHandle;

  /** The file has its first bytes, and will have `size`. */
  constructor(fd: number, size: number) {
    this.handle = native.arrivalOpen(fd, size);
  }

  /** Bytes in the file. */
  get offset(): number {
    return native.arrivalOffset(this.handle);
  }

  /** Others have written into the file, up to there. */
  kept(bytes: number): void {
    native.arrivalKept(this.handle, bytes);
  }

  /** Appends a body, read on a thread of its own. Gives what broke the connection before its end; throws what the file system says. */
  async receive({ fd, head, length, signal, stallMilliseconds }: AnswerBody): Promise<Error | undefined> {
    if (signal.aborted) return aborted();
    const received = native.arrivalReceive(this.handle, fd, head, length, stallMilliseconds);
    const stop = (): void => native.arrivalStop(this.handle);
    signal.addEventListener("abort", stop, { once: true });
    try {
      const code = await received;
      return code === "" ? undefined : signal.aborted ? aborted() : brokenBy(code);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Nothing more comes. When it is left, followers fail with ECANCELED; else they go on to the end. */
  end(how: "whole" | "left"): void {
    native.arrivalEnd(this.handle, how === "left");
  }
}

const aborted = (): DOMException => new DOMException("the body is not wanted any more", "AbortError");

function brokenBy(code: string): Error {
  if (code === "EPIPE") return Object.assign(new Error("unexpected EOF"), { code: "ECONNRESET" });
  return Object.assign(new Error(code === "ETIMEDOUT" ? "i/o timeout" : `read ${code}`), { code });
}
