/** Starts and stops daemons in a test machine: gantryd, or dockerd to check a test or to measure against. */
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { Api } from "./api.ts";
import { busyboxImage } from "./images.ts";
import { Machine } from "./machine.ts";

export const project = join(import.meta.dirname, "..", "..");

/** As scripts/launch has them. */
const nodeFlags = ["--min-semi-space-size=4"];

export interface EngineOptions {
  flags?: string[];
  env?: Record<string, string>;
  /** Runs gantryd with a copy of Node, so that its memory is not shared with the Node of the measuring program. */
  ownNode?: boolean;
  /** A path inside the machine; by default a folder that is seen from outside, too. */
  execRoot?: string;
  /** The folder of the package whose daemon runs; this project's unless told. */
  package?: string;
  /** "gantryd" unless told; GANTRY_TEST_ENGINE=dockerd checks the tests themselves. */
  program?: "gantryd" | "dockerd";
}

export class Engine {
  readonly machine: Machine;
  readonly socket: string;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly pidfile: string;
  readonly logfile: string;
  readonly api: Api;
  readonly program: "gantryd" | "dockerd";
  readonly #options: EngineOptions;
  /** Of the last start. */
  #package: string;
  #process: ChildProcess | undefined;

  constructor(machine: Machine, options: EngineOptions = {}) {
    const folder = join(machine.folder, "engine");
    mkdirSync(folder, { recursive: true });
    this.machine = machine;
    this.#options = options;
    this.#package = options.package ?? project;
    this.program = options.program ?? (process.env["GANTRY_TEST_ENGINE"] === "dockerd" ? "dockerd" : "gantryd");
    this.socket = join(folder, "api.sock");
    this.dataRoot = join(folder, "root");
    this.execRoot = options.execRoot ?? join(folder, "exec");
    this.pidfile = join(folder, "pid");
    this.logfile = join(folder, "log");
    this.api = new Api(this.socket);
  }

  /** Starts the daemon and resolves with the milliseconds to its first answer at `first`; gantryd answers pings before it serves anything else. */
  async start({ first = "/version", ...extra }: { env?: Record<string, string>; flags?: string[]; first?: string; package?: string } = {}): Promise<number> {
    if (extra.package !== undefined) this.#package = extra.package;
    const output = openSync(this.logfile, "a");
    const env = { ...process.env, ...this.#options.env, ...extra.env };
    const { child, go } = await this.machine.prepare([...this.#argv(), ...(extra.flags ?? [])], { env, output });
    this.#process = child;
    closeSync(output);
    const began = performance.now();
    go();
    for (;;) {
      if (this.#process.exitCode !== null) throw new Error(`${this.program} ended with ${this.#process.exitCode}:\n${this.log().slice(-4000)}`);
      if (existsSync(this.socket) && (await this.answers(first))) return performance.now() - began;
      if (performance.now() - began > 120_000) throw new Error(`${this.program} does not answer:\n${this.log().slice(-4000)}`);
      await delay(2);
    }
  }

  #argv(): string[] {
    const roots = ["-H", `unix://${this.socket}`, "--data-root", this.dataRoot, "--exec-root", this.execRoot, "--pidfile", this.pidfile, ...(this.#options.flags ?? [])];
    return this.program === "dockerd" ? ["dockerd", "--storage-driver", "overlay2", ...roots] : [this.#node(), ...nodeFlags, join(this.#package, "dist/gantryd.js"), ...roots];
  }

  #node(): string {
    const node = join(project, "build/node");
    const copy = join(this.machine.folder, "node");
    if (this.#options.ownNode !== true) return node;
    if (!existsSync(copy)) copyFileSync(node, copy);
    return copy;
  }

  async answers(path = "/_ping"): Promise<boolean> {
    try {
      return (await this.api.send("GET", path, { timeoutMs: 5000 })).status === 200;
    } catch {
      return false;
    }
  }

  log(): string {
    return existsSync(this.logfile) ? readFileSync(this.logfile, "utf8") : "";
  }

  /** As the machine inside counts. */
  pid(): number {
    return Number(readFileSync(this.pidfile, "utf8"));
  }

  /** SIGTERM, and the wait for it. */
  async stop(): Promise<void> {
    await this.signal("TERM");
  }

  /** kill -9 of the daemon alone. */
  async kill(): Promise<void> {
    await this.signal("KILL");
  }

  async signal(name: "TERM" | "KILL"): Promise<void> {
    if (this.#process === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.machine.run("kill", `-${name}`, String(this.pid()));
    await exited;
  }

  /** Resolves when the daemon has ended by itself, at a fault point. */
  async ended(): Promise<void> {
    if (this.#process === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    await once(this.#process, "exit", { signal: AbortSignal.timeout(90_000) });
  }

  /** Makes the image "busybox" from the machine's static busybox. */
  async importBusybox(): Promise<void> {
    const { status, body } = await this.api.send("POST", "/images/create", { query: { fromSrc: "-", repo: "busybox", tag: "latest", changes: 'CMD ["sh"]' }, body: busyboxImage(), headers: { "content-type": "application/x-tar" } });
    if (status !== 200 || body.includes('"error"')) throw new Error(`import: ${status} ${body.toString()}`);
  }
}

/** A machine with a running daemon and the image "busybox" in it. */
export async function startedEngine(options: EngineOptions = {}): Promise<Engine> {
  const engine = new Engine(await Machine.create(), options);
  try {
    await engine.start();
    await engine.importBusybox();
    return engine;
  } catch (thrown) {
    await engine.machine[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** Runs a test with an engine of its own. A failed one only has its machine removed; its own error counts. */
export async function withEngine(body: (engine: Engine) => Promise<void>, options: EngineOptions = {}): Promise<void> {
  const engine = await startedEngine(options);
  try {
    await body(engine);
  } catch (thrown) {
    engine.api.close();
    await engine.machine[Symbol.asyncDispose]();
    throw thrown;
  }
  await endEngine(engine);
}

/** The parent of all containers' groups, and what outlives the daemon: the launcher, and for ten seconds the name server and the relay of ports. */
const stays = /^cgroup [^/]+\/gantry$|^process \S+\/gantry-shim launcher |^process gantry-dns |^process \S+\/gantry-relay /;

/** Throws for what is still there half a minute later: the kernel takes network namespaces apart behind everyone's back. */
const nothingLeft = (engine: Engine): Promise<void> =>
  eventually(() => {
    const left = engine.machine.inventory().filter((item) => !stays.test(item));
    if (left.length > 0) throw new Error(`gantryd left behind:\n  ${left.join("\n  ")}\n${engine.log().slice(-2000)}`);
  }, 30);

/** Ends the daemon and its machine; throws if the daemon left anything behind although all containers were removed. */
export async function endEngine(engine: Engine): Promise<void> {
  try {
    for (const { Id } of await engine.api.json("GET", "/containers/json", { query: { all: true } })) await engine.api.json("DELETE", `/containers/${Id}`, { query: { force: true } });
    await engine.stop();
    if (engine.program === "gantryd") await nothingLeft(engine);
  } finally {
    engine.api.close();
    await engine.machine[Symbol.asyncDispose]();
  }
}
