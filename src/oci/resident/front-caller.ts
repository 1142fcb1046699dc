/** A caller on the other end of a socket, native/front, and what it is asked to do. */
import { readlinkSync, realpathSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { systemError } from "../../lib/errors.ts";
import type { Caller, Child, Exit, SpawnRequest } from "../cli/caller.ts";
import { NotServed } from "../cli/caller.ts";
import type { Command } from "../cli/command.ts";
import type { FrontMessage, Request } from "./protocol.ts";
import { encodeDirect, encodeExit, encodeOutput, encodeSignal, encodeSpawn } from "./protocol.ts";

/** These make runc's commands do more; what does it works in its own process alone. */
const directEnvironment = /^(?:NOTIFY_SOCKET|LISTEN_FDS)=/;

/** The copy of gantry-shim that native/front gave this process: executing it saves each caller making one. */
const sealedShim = linkOf("/proc/self/fd/5")?.startsWith("/memfd:gantry-shim") === true ? `/proc/${process.pid}/fd/5` : undefined;

interface Waiting {
  path: string;
  reply: PromiseWithResolvers<Buffer>;
  exited: PromiseWithResolvers<Exit>;
}

export class FrontCaller implements Caller {
  readonly program: string;
  readonly cwd: string;
  readonly proc: string;
  readonly #environment: readonly string[];
  readonly #socket: Socket;
  readonly #children = new Map<number, Waiting>();
  #serial = 0;
  #gone = false;

  constructor(socket: Socket, proc: string, { cwd, environment }: Request) {
    this.#socket = socket;
    this.proc = proc;
    this.cwd = cwd;
    this.#environment = environment;
    this.program = this.variable("GANTRY_PROGRAM") ?? "gantry-runtime";
  }

  variable = (name: string): string | undefined => this.#environment.findLast((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);

  write = (to: "stdout" | "stderr", text: string): void => this.#send(encodeOutput(to, text));

  spawn = (request: SpawnRequest): Child => {
    const id = ++this.#serial;
    const child: Waiting = { path: request.path, reply: Promise.withResolvers(), exited: Promise.withResolvers() };
    // Reported where they are awaited, which after a failure may be nowhere.
    child.reply.promise.catch(() => {});
    child.exited.promise.catch(() => {});
    if (request.kind === "hook") child.reply.resolve(Buffer.alloc(0));
    this.#children.set(id, child);
    this.#send(encodeSpawn(id, request.kind === "plan" ? { ...request, path: sealedShim ?? request.path } : request));
    if (this.#gone) this.lose();
    return { reply: child.reply.promise, exited: child.exited.promise, kill: (signal) => this.#send(encodeSignal(id, constants.signals[signal])) };
  };

  /** Paths of the caller's own, such as /dev/fd/3 or a fifo that somebody shall fill, are not ours to open. */
  admit = (command: Command, paths: string[]): void => {
    if (command.resident !== true || this.#environment.some((entry) => directEnvironment.test(entry)) || paths.some(isCallersOwn)) throw new NotServed();
  };

  exit(code: number): void {
    this.#send(encodeExit(code));
  }

  /** Nothing was done: the front does it all itself. */
  direct(): void {
    this.#send(encodeDirect());
  }

  receive(message: Exclude<FrontMessage, Request>): void {
    const child = this.#children.get(message.id);
    if (child === undefined) return;
    if (message.type === "reply") return child.reply.resolve(message.bytes);
    this.#children.delete(message.id);
    if (message.type === "failed") fail(child, new Error(`spawn ${child.path} ${getSystemErrorName(-message.errno)}`));
    else child.exited.resolve(message.signal === 0 ? { code: message.code, signal: null } : { code: null, signal: signalName(message.signal) });
  }

  /** The front has gone away, and nobody knows of its children. */
  lose(): void {
    this.#gone = true;
    for (const child of this.#children.values()) fail(child, systemError("whoever called gantry-runtime has gone away"));
    this.#children.clear();
  }

  #send(message: Buffer): void {
    if (!this.#gone) this.#socket.write(message);
  }
}

function fail({ reply, exited }: Waiting, error: Error): void {
  reply.reject(error);
  exited.reject(error);
}

function isCallersOwn(path: string): boolean {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined) return /^\/(?:dev|proc)\//.test(path);
  return info.isFIFO() || info.isSocket() || info.isCharacterDevice() || /^\/(?:dev|proc)\//.test(realpathSync(path));
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

const signalName = (number: number): string => Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
