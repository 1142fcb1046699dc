/** The three standard streams. Output is written synchronously: bytes are never lost at exit, and a slow reader holds us back. */
import fs from "node:fs";

/** Exit status of a program that a closed pipe ended. */
const BROKEN_PIPE_STATUS = 141;

export class OutputStream {
  readonly fd: 1 | 2;
  #terminal: boolean | undefined;

  constructor(fd: 1 | 2) {
    this.fd = fd;
  }

  get isTerminal(): boolean {
    this.#terminal ??= process.getBuiltinModule("node:tty").isatty(this.fd);
    return this.#terminal;
  }

  write(data: string | Uint8Array): void {
    let rest = typeof data === "string" ? Buffer.from(data) : data;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(fs.writeSync(this.fd, rest));
      } catch (thrown) {
        this.#recover(thrown as NodeJS.ErrnoException);
      }
    }
  }

  line(text: string): void {
    this.write(`${text}\n`);
  }

  /** Another process may have made the pipe non-blocking: wait a moment then. */
  #recover(error: NodeJS.ErrnoException): void {
    if (error.code === "EPIPE") process.exit(BROKEN_PIPE_STATUS);
    if (error.code !== "EAGAIN") throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }

  /** Rows and columns; zeros when it is no terminal. */
  get size(): { height: number; width: number } {
    if (!this.isTerminal) return { height: 0, width: 0 };
    const stream = this.fd === 1 ? process.stdout : process.stderr;
    const [width = 0, height = 0] = stream.getWindowSize();
    return { height, width };
  }
}

export const stdout = new OutputStream(1);
export const stderr = new OutputStream(2);

export const stdin = {
  get isTerminal(): boolean {
    return process.getBuiltinModule("node:tty").isatty(0);
  },
  /** All of it, as text. */
  text(): string {
    return fs.readFileSync(0, "utf8");
  },
  /** One line, without its end; undefined at the end of input. */
  line(): string | undefined {
    const bytes: number[] = [];
    const one = Buffer.alloc(1);
    for (;;) {
      const count = readByte(one);
      if (count === 0) return bytes.length === 0 ? undefined : Buffer.from(bytes).toString();
      if (one[0] === 10) return Buffer.from(bytes).toString().replace(/\r$/, "");
      bytes.push(one[0] as number);
    }
  },
  bytes(): AsyncIterable<Uint8Array> {
    return fs.createReadStream("", { fd: 0, highWaterMark: 1 << 18, autoClose: false });
  },
};

function readByte(into: Buffer): number {
  for (;;) {
    try {
      return fs.readSync(0, into, 0, 1, null);
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw thrown;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
