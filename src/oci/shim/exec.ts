import type { Duplex } from "node:stream";
import type { ExecTask, ExitStatus } from "../../core/runtime.ts";
import type { ShimConnection } from "./client.ts";
import { requestError } from "./failure.ts";
import { encodeResize, encodeSignal } from "./protocol.ts";

/** A further process of a task. */
export class ShimExec implements ExecTask {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  readonly stream: Duplex | undefined;
  readonly #id: string;
  /** The task's present one. */
  readonly #connection: () => ShimConnection;

  constructor(exec: { id: string; pid: number; exited: Promise<ExitStatus>; stream: Duplex | undefined; connection: () => ShimConnection }) {
    this.#id = exec.id;
    this.#connection = exec.connection;
    this.pid = exec.pid;
    this.exited = exec.exited;
    this.stream = exec.stream;
  }

  async resize(size: { width: number; height: number }): Promise<void> {
    await this.#request((serial) => encodeResize(serial, this.#id, size), `resizing exec ${this.#id}`);
  }

  async signal(signal: number): Promise<void> {
    await this.#request((serial) => encodeSignal(serial, this.#id, signal, false), `signal ${signal} to exec ${this.#id}`);
  }

  async #request(encode: (serial: number) => Buffer, what: string): Promise<void> {
    await this.#connection().request(encode).catch((error: unknown) => {
      throw requestError(error, what);
    });
  }
}
