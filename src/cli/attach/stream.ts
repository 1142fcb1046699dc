/** Joins the standard streams with a container's: output until it ends, input until its end or the detach keys. */
import type { Socket } from "node:net";
import { DetachFilter, parseDetachKeys } from "../../lib/detach-keys.ts";
import { stderr, stdout } from "../streams.ts";
import { Demultiplexer } from "./demultiplex.ts";

export interface Connection {
  /** Undefined: nothing is to be written. */
  socket: Socket | undefined;
  body: AsyncIterable<Buffer>;
}

/** What has been shown of each stream, so that it is shown once when a log repeats it from its beginning. */
export class Seen {
  readonly #bytes = { stdout: 0, stderr: 0 };
  #repeated = { stdout: 0, stderr: 0 };

  /** From here on everything comes once more. */
  repeat(): void {
    this.#repeated = { ...this.#bytes };
  }

  /** What is new. */
  take(stream: "stdout" | "stderr", bytes: Uint8Array): Uint8Array {
    const known = Math.min(this.#repeated[stream], bytes.length);
    this.#repeated[stream] -= known;
    const fresh = bytes.subarray(known);
    this.#bytes[stream] += fresh.length;
    return fresh;
  }
}

export interface StreamOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
  detachKeys: string;
  seen?: Seen;
}

/** Throws with Docker's words when the keys make no sequence. */
export function validateDetachKeys(keys: string): void {
  if (keys === "") return;
  try {
    parseDetachKeys(keys);
  } catch (thrown) {
    throw new Error(`invalid detach keys (${keys}): ${(thrown as Error).message}`);
  }
}

/** Resolves with "detached" when the keys were typed, else when the container's output ended. */
export async function joinStreams(connection: Connection, options: StreamOptions): Promise<"ended" | "detached"> {
  const input = options.stdin && connection.socket ? new Input(connection.socket, options) : undefined;
  if (!input) connection.socket?.end();
  try {
    // Also without anything to show: its end is the container's.
    const output = copyOutput(connection, options).then(() => "ended" as const);
    const shows = options.stdout || options.stderr;
    const typed = input?.run().then((how) => (how === "detached" ? how : shows ? output : "ended"));
    return await Promise.race([output, typed].filter((promise) => promise !== undefined));
  } finally {
    input?.close();
    connection.socket?.destroy();
  }
}

async function copyOutput(connection: Connection, options: StreamOptions): Promise<void> {
  const show = (name: "stdout" | "stderr", bytes: Uint8Array): void => {
    const fresh = options.seen?.take(name, bytes) ?? bytes;
    if (fresh.length > 0) (name === "stdout" ? stdout : stderr).write(fresh);
  };
  if (options.tty) {
    for await (const chunk of connection.body) show("stdout", chunk);
    return;
  }
  const demultiplexer = new Demultiplexer({
    stdout: options.stdout ? (bytes) => show("stdout", bytes) : undefined,
    stderr: options.stderr ? (bytes) => show("stderr", bytes) : undefined,
  });
  for await (const chunk of connection.body) demultiplexer.push(chunk);
}

/**
 * Node's raw mode goes on turning line feeds into CR LF on output; what the container's terminal sends has its own already.
 * setRawMode(false) restores both.
 */
function makeRaw(): void {
  process.stdin.setRawMode(true);
  process.getBuiltinModule("node:child_process").spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
}

class Input {
  readonly #socket: Socket;
  readonly #filter: DetachFilter | undefined;
  readonly #raw: boolean;
  #finish: ((how: "end" | "detached") => void) | undefined;

  constructor(socket: Socket, options: StreamOptions) {
    this.#socket = socket;
    this.#raw = options.tty && process.stdin.isTTY === true;
    this.#filter = options.tty ? new DetachFilter(parseDetachKeys(options.detachKeys)) : undefined;
    if (this.#raw) makeRaw();
  }

  run(): Promise<"end" | "detached"> {
    return new Promise((resolve) => {
      this.#finish = resolve;
      process.stdin.on("data", this.#onData);
      process.stdin.ref?.();
      process.stdin.resume();
      process.stdin.once("end", this.#onEnd);
      process.stdin.once("error", this.#onEnd);
      // An earlier connection had it to its end.
      if (process.stdin.readableEnded) this.#onEnd();
    });
  }

  readonly #onData = (chunk: Buffer): void => {
    const { pass, detached } = this.#filter?.push(chunk) ?? { pass: chunk, detached: false };
    if (this.#socket.writable && pass.length > 0 && !this.#socket.write(pass)) {
      process.stdin.pause();
      this.#socket.once("drain", () => process.stdin.resume());
    }
    if (detached) this.#finish?.("detached");
  };

  readonly #onEnd = (): void => {
    this.#socket.end();
    this.#finish?.("end");
  };

  close(): void {
    process.stdin.off("data", this.#onData);
    process.stdin.off("end", this.#onEnd);
    process.stdin.off("error", this.#onEnd);
    if (this.#raw) process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stdin.unref?.();
  }
}
