/** Network namespaces as file descriptors. */
import { closeSync, constants, openSync } from "node:fs";
import { systemError } from "../../lib/errors.ts";

/** An open network namespace. It lives until the last descriptor is closed and the last process in it has ended. */
export class Netns implements Disposable {
  #fd: number;

  /** Takes the fd over. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The one at `path`, such as /proc/PID/ns/net. */
  static open(path: string): Netns {
    try {
      return new Netns(openSync(path, constants.O_RDONLY));
    } catch (cause) {
      throw systemError(`cannot open the network namespace ${path}: ${(cause as Error).message}`, cause);
    }
  }

  get fd(): number {
    if (this.#fd < 0) throw systemError("the network namespace is closed");
    return this.#fd;
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
