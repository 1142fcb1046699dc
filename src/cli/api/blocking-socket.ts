/** A connected socket by system calls that wait: for short programs node:net costs more than all of their work. */
import fs from "node:fs";
import type { Connection } from "./reader.ts";

const READ_BYTES = 65536;

export class BlockingSocket implements Connection {
  readonly #fd: number;
  readonly #ended: (() => void)[] = [];
  readonly #failed: ((error: Error) => void)[] = [];
  destroyed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  on(event: "readable" | "end" | "close" | "error", listener: (error: Error) => void): void {
    if (event === "end") this.#ended.push(listener as () => void);
    if (event === "error") this.#failed.push(listener);
  }

  read(): Buffer | null {
    const into = Buffer.allocUnsafe(READ_BYTES);
    try {
      const length = this.destroyed ? 0 : fs.readSync(this.#fd, into);
      if (length > 0) return into.subarray(0, length);
      for (const listener of this.#ended) listener();
    } catch (thrown) {
      for (const listener of this.#failed) listener(thrown as Error);
    }
    return null;
  }

  write(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(fs.writeSync(this.#fd, rest));
  }

  destroy(): void {
    if (!this.destroyed) fs.closeSync(this.#fd);
    this.destroyed = true;
  }

  ref(): void {}
  unref(): void {}
}
