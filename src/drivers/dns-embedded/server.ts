/**
 * The name server of all sandboxes: a process of its own, so that names are answered while the daemon is restarted or gone. It
 * does what the daemon last said, and ends by itself when it serves nobody.
 */
import { chmodSync, rmSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { parseEgress } from "../../lib/egress.ts";
import { messageOf, unavailable } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { Egress } from "./egress.ts";
import type { Limited } from "./egress-table.ts";
import { HostServers } from "./host-servers.ts";
import { Names } from "./names.ts";
import { ServedSandbox } from "./served-sandbox.ts";
import { LineReader, SERVER_VERSION, addressesOf, line } from "./wire.ts";
import type { NumberedRequest, Reply, Request, ServerMessage, WireEndpoint, WireSandbox, WireView } from "./wire.ts";

const net = process.getBuiltinModule("node:net");

export interface NameServerOptions {
  /** Where the daemon finds it. */
  socketPath: string;
  /** The host's. */
  resolvConf: string;
  /** How long it waits for a first sandbox, or another one after the last. */
  idleMs: number;
}

export interface RunningServer {
  /** Resolves when it has let go of everything. */
  readonly ended: Promise<void>;
  end(): Promise<void>;
}

/** Resolves when the daemon can connect. */
export async function startNameServer(options: NameServerOptions): Promise<RunningServer> {
  const server = new NameServer(options);
  await server.listen();
  return server;
}

class NameServer implements RunningServer {
  readonly ended: Promise<void>;
  readonly #options: NameServerOptions;
  readonly #names = new Names();
  readonly #host: HostServers;
  readonly #egress: Egress;
  readonly #sandboxes = new Map<string, ServedSandbox>();
  readonly #queue = new KeyedQueue();
  readonly #connections = new Set<Socket>();
  readonly #listener: Server;
  /** Requests that are under way. */
  #busy = 0;
  #idle: NodeJS.Timeout | undefined;
  #end!: () => void;
  #ending: Promise<void> | undefined;

  constructor(options: NameServerOptions) {
    this.#options = options;
    this.#host = new HostServers(options.resolvConf);
    this.#egress = new Egress({ key: options.socketPath, denied: (denial) => this.#tell({ denial }), notice: (notice) => this.#tell({ notice }), repaired: (what) => this.#tell({ repaired: what }) });
    this.#listener = net.createServer((socket) => this.#accept(socket));
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  async listen(): Promise<void> {
    const { socketPath } = this.#options;
    rmSync(socketPath, { force: true });
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => this.#listener.once("error", reject).listen(socketPath, resolve));
    } finally {
      process.umask(mask);
    }
    chmodSync(socketPath, 0o600);
    this.#watchIdleness();
  }

  end(): Promise<void> {
    this.#ending ??= this.#letGo();
    return this.#ending;
  }

  async #letGo(): Promise<void> {
    clearTimeout(this.#idle);
    this.#listener.close();
    for (const id of this.#sandboxes.keys()) await this.#detach(id);
    await this.#egress.close();
    for (const socket of this.#connections) socket.end();
    this.#end();
  }

  /** A sandbox that comes while it ends is told of a closed connection. */
  #watchIdleness(): void {
    clearTimeout(this.#idle);
    if (this.#busy === 0 && this.#sandboxes.size === 0 && !this.#ending) this.#idle = setTimeout(() => void this.end(), this.#options.idleMs);
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    const reader = new LineReader<NumberedRequest>((request) => void this.#handle(request).then((reply) => void socket.write(line(reply))));
    socket.on("data", (data: Buffer) => {
      try {
        reader.push(data);
      } catch {
        socket.destroy();
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#connections.delete(socket));
  }

  async #handle({ serial, ...request }: NumberedRequest): Promise<Reply> {
    this.#busy++;
    clearTimeout(this.#idle);
    try {
      await this.#execute(request);
      return { serial, ...(request.op === "hello" ? { version: SERVER_VERSION } : {}) };
    } catch (error) {
      return { serial, error: messageOf(error) };
    } finally {
      this.#busy--;
      this.#watchIdleness();
    }
  }

  async #execute(request: Request): Promise<void> {
    switch (request.op) {
      case "hello":
        return;
      case "end":
        return void this.end();
      case "restore":
        return this.#restore(request.endpoints, request.sandboxes);
      case "endpoint":
        return this.#setEndpoint(request.endpoint);
      case "attach":
        return this.#attach(request.sandbox);
      case "view":
        return this.#setView(request.id, request.view);
      case "detach":
        return this.#detach(request.id);
    }
  }

  async #restore(endpoints: readonly WireEndpoint[], sandboxes: readonly WireSandbox[]): Promise<void> {
    this.#names.clear();
    for (const endpoint of endpoints) this.#setEndpoint(endpoint);
    const wanted = new Set(sandboxes.map(({ id }) => id));
    const gone = [...this.#sandboxes.keys()].filter((id) => !wanted.has(id));
    await this.#egress.restore(sandboxes.flatMap(({ id, view }) => limitsOf(id, view) ?? []));
    const results = await Promise.allSettled([...gone.map((id) => this.#detach(id)), ...sandboxes.map((sandbox) => this.#attach(sandbox))]);
    for (const result of results) if (result.status === "rejected") this.#tell({ notice: `names of a container: ${messageOf(result.reason)}` });
  }

  #setEndpoint({ networkId, endpointId, names }: WireEndpoint): void {
    this.#names.set({ networkId, endpointId }, names && { ...names, addresses: addressesOf(names.addresses) });
  }

  /** One that is served already only gets the view. */
  #attach(sandbox: WireSandbox): Promise<void> {
    return this.#queue.run(sandbox.id, async () => {
      const present = this.#sandboxes.get(sandbox.id);
      await this.#egress.set(sandbox.id, limitsOf(sandbox.id, sandbox.view));
      if (present?.inode === sandbox.netns.inode) return present.setView(sandbox.view);
      this.#sandboxes.delete(sandbox.id);
      present?.close();
      const served = await ServedSandbox.open(sandbox, { names: this.#names, host: this.#host, egress: this.#egress });
      if (!this.#ending) return void this.#sandboxes.set(sandbox.id, served);
      served.close();
      throw unavailable("the name server is about to end");
    });
  }

  #setView(id: string, view: WireView): Promise<void> {
    return this.#queue.run(id, async () => {
      const present = this.#sandboxes.get(id);
      if (!present) return;
      await this.#egress.set(id, limitsOf(id, view));
      present.setView(view);
    });
  }

  #detach(id: string): Promise<void> {
    return this.#queue.run(id, async () => {
      this.#sandboxes.get(id)?.close();
      this.#sandboxes.delete(id);
      if (!this.#ending) await this.#egress.set(id, undefined);
    });
  }

  #tell(message: ServerMessage): void {
    for (const socket of this.#connections) socket.write(line(message));
  }
}

function limitsOf(id: string, { egress }: WireView): Limited | undefined {
  return egress && { id, sources: addressesOf(egress.sources), rules: egress.rules.map(parseEgress), owner: egress.owner };
}
