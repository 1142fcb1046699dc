/**
 * The launcher: the resident process that shims are forked from, one per exec root. It is started when nobody answers on its
 * socket, and again when it died; shims and containers do not depend on it. It also keeps named fds over a restart of the daemon:
 * a launcher that is started in place of another is given them again.
 *
 * One of another version of this program, which a daemon finds after an upgrade, still answers for what it keeps (HELLO, PUT,
 * GET, DROP and END are the same in all versions). Before the first fork one of our own takes its place.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemError, unavailable } from "../../lib/errors.ts";
import { nativeDir } from "../../sys/addon.ts";
import { connectSeqpacket, Seqpacket } from "../../sys/seqpacket.ts";
import { ByteReader, ByteWriter } from "../plan/bytes.ts";
import { errnoName } from "./client.ts";
import { launcherReply, launcherRequest, launcherVersion } from "./protocol.ts";

interface Answer {
  errno: number;
  version: number;
  pid: number;
  fds: number[];
}

const program = join(nativeDir, "gantry-shim");

export class Launcher {
  readonly #path: string;
  #socket: Seqpacket | undefined;
  /** It is of another version of this program. */
  #isForeign = false;
  /** What it keeps for us: descriptors of the caller's, who drops names before it closes these. */
  readonly #kept = new Map<string, readonly number[]>();
  #closed = false;
  #connecting: Promise<Seqpacket> | undefined;
  #serial = 0;
  readonly #pending = new Map<number, { resolve: (answer: Answer) => void; reject: (error: unknown) => void }>();

  /** `path`: of its socket; the folder is made when missing. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Connects, starting a launcher when there is none. */
  async open(): Promise<void> {
    await this.#connected();
  }

  /** Forks a shim that serves `fd`, which stays the caller's. Resolves when the request is on its way. */
  async fork(fd: number): Promise<void> {
    try {
      await this.#forkWith(fd);
    } catch {
      // It died since the last use: once more with a new one.
      this.#drop();
      await this.#forkWith(fd);
    }
  }

  async #forkWith(fd: number): Promise<void> {
    await this.#connected();
    if (this.#isForeign) await this.#replace();
    await (await this.#connected()).send(this.#message(launcherRequest.fork, 0).bytes(), [fd]);
  }

  /** Its shims live on. */
  async #replace(): Promise<void> {
    this.#replacing ??= this.end().finally(() => (this.#replacing = undefined));
    await this.#replacing;
  }
  #replacing: Promise<void> | undefined;

  /** Keeps `fds`, which stay the caller's, under `name`, instead of what was there. They are open until the name is dropped or has others. */
  async put(name: string, fds: readonly number[]): Promise<void> {
    this.#kept.set(name, fds);
    await this.#named(launcherRequest.put, name, fds);
  }

  /** New fds of what was put under the name; undefined when there is nothing. */
  async get(name: string): Promise<number[] | undefined> {
    const answer = await this.#ask(launcherRequest.get, name, []);
    return answer.errno === 0 ? answer.fds : undefined;
  }

  async drop(name: string): Promise<void> {
    this.#kept.delete(name);
    await this.#named(launcherRequest.drop, name, []);
  }

  /** Ends the launcher. Shims live on. */
  async end(): Promise<void> {
    await this.#ask(launcherRequest.end, undefined, []).catch(() => undefined);
    this.#drop();
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  async #named(type: number, name: string, fds: readonly number[]): Promise<void> {
    const answer = await this.#ask(type, name, fds);
    if (answer.errno !== 0) throw systemError(`the launcher refused to keep ${name}: ${errnoName(answer.errno)}`);
  }

  async #ask(type: number, name: string | undefined, fds: readonly number[]): Promise<Answer> {
    return this.#askOn(await this.#connected(), type, name, fds);
  }

  #askOn(socket: Seqpacket, type: number, name: string | undefined, fds: readonly number[]): Promise<Answer> {
    const serial = ++this.#serial;
    const w = this.#message(type, serial);
    if (name !== undefined) w.string(name);
    return new Promise((resolve, reject) => {
      this.#pending.set(serial, { resolve, reject });
      socket.send(w.bytes(), fds).catch((error: unknown) => {
        this.#pending.delete(serial);
        reject(error);
      });
    });
  }

  #message(type: number, serial: number): ByteWriter {
    const w = new ByteWriter(64);
    w.u8(type);
    w.u32(serial);
    return w;
  }

  #connected(): Promise<Seqpacket> {
    if (this.#socket) return Promise.resolve(this.#socket);
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async #connect(): Promise<Seqpacket> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const found = this.#dial();
      const socket = this.#listen(found ?? (await this.#start()));
      const answer = await this.#askOn(socket, launcherRequest.hello, undefined, []).catch(() => undefined);
      if (answer === undefined) {
        socket.close();
        continue;
      }
      this.#isForeign = answer.version !== launcherVersion || !isOurProgram(answer.pid);
      if (found === undefined) await this.#giveAgain(socket);
      return (this.#socket = socket);
    }
    throw unavailable(`the launcher at ${this.#path} does not answer: see whether another version of gantryd runs`);
  }

  async #giveAgain(socket: Seqpacket): Promise<void> {
    for (const [name, fds] of this.#kept) await this.#askOn(socket, launcherRequest.put, name, fds).catch(() => undefined);
  }

  #dial(): number | undefined {
    try {
      return connectSeqpacket(this.#path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ECONNREFUSED") return undefined;
      throw error;
    }
  }

  async #start(): Promise<number> {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o711 });
    const output: Buffer[] = [];
    const child = spawn(program, ["launcher", this.#path], { stdio: ["ignore", "ignore", "pipe"], env: {}, cwd: "/" });
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", resolve);
    });
    child.stderr.destroy();
    // Two that start at once: one of them waits for the other's socket.
    for (let tries = 0; code === 0 && tries < 1000; tries++) {
      const fd = this.#dial();
      if (fd !== undefined) return fd;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw unavailable(`the launcher did not start: ${Buffer.concat(output).toString().trim() || `${program} ended with ${code}`}`);
  }

  #listen(fd: number): Seqpacket {
    const socket: Seqpacket = new Seqpacket(fd, {
      message: (bytes, fds) => this.#answer(bytes, fds),
      end: () => {
        if (this.#socket === socket) this.#lost();
        this.#rejectPending();
      },
    });
    return socket;
  }

  /** What it kept must not be free for others to take for longer than it takes to start another. */
  #lost(): void {
    this.#socket = undefined;
    if (this.#closed || this.#kept.size === 0) return;
    this.open().catch(() => undefined);
  }

  #answer(bytes: Buffer, fds: number[]): void {
    const r = new ByteReader(bytes);
    const failed = r.u8() === launcherReply.failed;
    const pending = this.#pending.get(r.u32());
    const value = r.u32();
    pending?.resolve({ errno: failed ? value : 0, version: failed ? 0 : value, pid: r.u32(), fds });
  }

  #rejectPending(): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.reject(unavailable("the launcher has gone away"));
  }

  #drop(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#rejectPending();
  }
}

/** It runs the same program that we would start, out of memory (native/shim/oneshot.c). One that cannot be seen is believed. */
function isOurProgram(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/exe`).equals(readFileSync(program));
  } catch {
    return true;
  }
}
