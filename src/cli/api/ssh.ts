/** Daemons behind ssh://: the ssh program runs `system dial-stdio` over there, and its standard streams are the connection. */
import type { ChildProcess, ChildProcessWithoutNullStreams } from "node:child_process";
import { Duplex } from "node:stream";
import { type SshTarget, sshArguments } from "./ssh-target.ts";

/** How much of what ssh says is told. */
const SAID_CHARACTERS = 4096;

type Part = Pick<ChildProcess, "ref" | "unref">;

export class SshConnection extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #args: string[];
  #said = "";

  constructor(target: SshTarget) {
    super();
    this.#args = sshArguments(target);
    const child = process.getBuiltinModule("node:child_process").spawn("ssh", this.#args);
    this.#child = child;
    child.stdout.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#said = (this.#said + text).slice(-SAID_CHARACTERS)));
    // The process's own end tells why.
    child.stdin.on("error", () => {});
    child.once("error", (error) => this.#ended(error.message));
    child.once("close", (code, signal) => this.#ended(code === 0 ? "" : signal === null ? `exit status ${code}` : `signal ${signal}`));
  }

  #ended(failure: string): void {
    if (failure === "") this.push(null);
    else this.destroy(new Error(`command [ssh ${this.#args.join(" ")}] has exited with ${failure}, make sure the URL is valid, and that docker or gantry is installed on the remote host: stderr=${this.#said.trim()}`));
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }

  ref(): void {
    for (const part of this.#parts()) part.ref();
  }

  unref(): void {
    for (const part of this.#parts()) part.unref();
  }

  #parts(): Part[] {
    const { stdin, stdout, stderr } = this.#child;
    return [this.#child, ...([stdin, stdout, stderr] as unknown as Part[])];
  }
}
