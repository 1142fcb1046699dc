/** Ours and the peers, each in a machine of its own, started when a row asks and ended with the run. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { which } from "../test/harness/cli.ts";
import { type Engine, type EngineOptions, startedEngine } from "../test/harness/engine.ts";
import type { Machine } from "../test/harness/machine.ts";
import { busyboxImage } from "../test/harness/images.ts";

/** Exec roots are where both have them by default: in the machine's /run, a tmpfs. */
export const ours: EngineOptions = { ownNode: true, execRoot: "/run/gantry" };
export const peer: EngineOptions = { program: "dockerd", execRoot: "/run/docker" };

export class Engines {
  readonly peerName: string;
  /** Peers that were looked for and not found, with the remedy. */
  readonly missing: string[] = [];
  readonly #engines = new Map<string, Promise<Engine>>();

  constructor() {
    const version = programVersion("dockerd", /version ([\d.]+)/);
    this.peerName = version === undefined ? "dockerd missing" : `dockerd ${version}`;
    if (version === undefined) this.missing.push("dockerd (Debian: apt-get install docker.io iptables)");
    if (programVersion("runc", /runc version (\S+)/) === undefined) this.missing.push("runc (Debian: apt-get install runc)");
    const podman = programVersion("podman", /version ([\d.]+)/);
    this.missing.push(`podman ${podman ?? "(not installed)"}: no row drives it yet`);
  }

  ours(): Promise<Engine> {
    return this.#get("ours");
  }

  /** Undefined when there is none on this machine. */
  peer(): Promise<Engine | undefined> {
    return which("dockerd") === undefined ? Promise.resolve(undefined) : this.#get("peer");
  }

  /** Ours, then the peer if there is one. */
  async both(): Promise<[Engine] | [Engine, Engine]> {
    const peer = await this.peer();
    return peer === undefined ? [await this.ours()] : [await this.ours(), peer];
  }

  #get(which: "ours" | "peer"): Promise<Engine> {
    let engine = this.#engines.get(which);
    if (engine === undefined) this.#engines.set(which, (engine = startedEngine(which === "peer" ? peer : ours)));
    return engine;
  }

  /** Ends what runs, so that the next row begins fresh. */
  async reset(): Promise<void> {
    const engines = await Promise.allSettled(this.#engines.values());
    this.#engines.clear();
    for (const result of engines) {
      if (result.status === "rejected") continue;
      result.value.api.close();
      await result.value.machine[Symbol.asyncDispose]();
    }
  }
}

export function programVersion(program: string, pattern: RegExp): string | undefined {
  try {
    return pattern.exec(execFileSync(program, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }))?.[1];
  } catch {
    return undefined;
  }
}

/** create, start, wait, remove of `true`, by the API. */
export async function cycle(engine: Engine, networkMode: string): Promise<void> {
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["true"], HostConfig: { NetworkMode: networkMode } } });
  await engine.api.json("POST", `/containers/${Id}/start`);
  const { StatusCode } = await engine.api.json("POST", `/containers/${Id}/wait`);
  if (StatusCode !== 0) throw new Error(`true ended with ${StatusCode}`);
  await engine.api.json("DELETE", `/containers/${Id}`);
}

export async function create(engine: Engine, cmd: string[]): Promise<string> {
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: cmd } });
  return Id;
}

export async function startIdle(engine: Engine): Promise<string> {
  const id = await create(engine, ["sleep", "100000"]);
  await engine.api.json("POST", `/containers/${id}/start`);
  return id;
}

export async function remove(engine: Engine, id: string): Promise<void> {
  await engine.api.json("DELETE", `/containers/${id}`, { query: { force: true } });
}

/** A bundle for OCI runtimes whose program is `true`, without a network of its own. */
export function makeBundle(machine: Machine): string {
  const bundle = join(machine.folder, "bundle");
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  writeFileSync(join(bundle, "rootfs.tar"), busyboxImage());
  execFileSync("tar", ["-x", "-C", join(bundle, "rootfs"), "-f", join(bundle, "rootfs.tar")]);
  const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  const spec = {
    ociVersion: "1.0.2",
    process: { user: { uid: 0, gid: 0 }, args: ["true"], env: ["PATH=/bin"], cwd: "/", capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities }, noNewPrivileges: true },
    root: { path: "rootfs", readonly: true },
    hostname: "bench",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    ],
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
    },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  return bundle;
}
