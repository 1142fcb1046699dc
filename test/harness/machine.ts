/** A throw-away machine made of namespaces (machine.sh): daemons run inside, clients reach their sockets from outside. */
import { type ChildProcess, execFileSync, spawn, type SpawnOptions } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { eventually } from "../../src/lib/eventually.testing.ts";

const hierarchies = "/sys/fs/cgroup";
/** nsenter enters the namespace of groups, not the groups; of cgroup v2 the machine has none of its own. */
const joinGroups = '[ -e /sys/fs/cgroup/cgroup.controllers ] || for file in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >"$file"; done;';
const enterAndRun = `${joinGroups} exec "$@"`;
const enterAndWait = `${joinGroups} echo >&3; read -r _; exec "$@" </dev/null 3>&-`;

export class Machine implements AsyncDisposable {
  /** Seen inside and outside under the same path. */
  readonly folder: string;
  readonly name: string;
  /** PID 1 of the machine, as the host sees it. */
  readonly pid: number;
  #holder: ChildProcess;

  private constructor(folder: string, holder: ChildProcess, pid: number) {
    this.folder = folder;
    this.name = basename(folder);
    this.pid = pid;
    this.#holder = holder;
  }

  static async create(): Promise<Machine> {
    const folder = mkdtempSync(join(tmpdir(), "gty-"));
    const name = basename(folder);
    const holder = spawn(join(import.meta.dirname, "machine.sh"), [name, folder], { stdio: ["ignore", "pipe", "inherit"] });
    const failed = once(holder, "exit").then(([code, signal]) => {
      removeGroups(name);
      rmSync(folder, { recursive: true, force: true });
      throw new Error(`the test machine ended at once (${code ?? signal}); it needs root, unshare and ip`);
    });
    await Promise.race([once(holder.stdout, "data"), failed]);
    failed.catch(() => {});
    const pid = Number(readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim().split(" ")[0]);
    return new Machine(folder, holder, pid);
  }

  /** The argument vector that runs a command inside. */
  command(argv: readonly string[], script = enterAndRun): [string, string[]] {
    return ["nsenter", ["-t", String(this.pid), "--mount", "--net", "--pid", "--cgroup", "--", "sh", "-c", script, "sh", ...argv]];
  }

  spawn(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [program, args] = this.command(argv);
    return spawn(program, args, options);
  }

  /** Resolves when all is ready inside; `go` is the beginning of the program, so that its start can be timed without the way in. */
  async prepare(argv: readonly string[], { env, output }: { env: NodeJS.ProcessEnv; output: number }): Promise<{ child: ChildProcess; go: () => void }> {
    const [program, args] = this.command(argv, enterAndWait);
    const child = spawn(program, args, { env, stdio: ["pipe", output, output, "pipe"] });
    await Promise.race([once(child.stdio[3] as Readable, "data"), once(child, "exit")]);
    child.stdin?.on("error", () => {});
    return { child, go: () => void child.stdin?.end("\n") };
  }

  /** Runs a command inside and gives its output; throws when it fails. */
  run(...argv: string[]): string {
    const [program, args] = this.command(argv);
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Whether there is such a path inside. */
  has(path: string): boolean {
    return this.run("sh", "-c", '[ ! -e "$1" ] || echo yes', "sh", path) !== "";
  }

  /** What a daemon that has stopped should have left nothing of: everything that a container's run adds to a machine. */
  inventory(): string[] {
    const links = this.run("ip", "-o", "link").split("\n").map((line) => /^\d+: (\S+?)[@:]/.exec(line)?.[1]).filter((link) => link?.startsWith("veth") === true || link?.startsWith("gt") === true);
    const processes = this.run("ps", "-eo", "pid=,args=").split("\n").map((line) => line.trim()).filter((line) => !/^1 |sleep (3600|infinity)$|ps -eo|^$/.test(line));
    const mounts = readFileSync(`/proc/${this.pid}/mountinfo`, "utf8").split("\n").map((line) => line.split(" ")[4] ?? "").filter((target) => target.startsWith(`${this.folder}/`));
    return [
      ...links.map((link) => `link ${link}`),
      ...processes.map((line) => `process ${line.replace(/^\d+ /, "")}`),
      ...mounts.map((target) => `mount ${target}`),
      ...groupsOf(this.name).map((group) => `cgroup ${group}`),
    ].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      const exited = once(this.#holder, "exit");
      this.#holder.kill("SIGKILL");
      await exited;
    }
    // Processes that were killed leave their groups a moment later.
    await eventually(() => removeGroups(this.name));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Groups that were made inside, without their machine's own, as "cpu,cpuacct/gantry/ID". */
function groupsOf(name: string): string[] {
  return roots(name).flatMap((root) => walk(root).slice(0, -1).map((path) => path.slice(hierarchies.length + 1).replace(`/${name}/`, "/")));
}

function roots(name: string): string[] {
  return readdirSync(hierarchies, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(hierarchies, entry.name, "cgroup.procs")))
    .map((entry) => join(hierarchies, entry.name, name))
    .filter((path) => {
      try {
        return readdirSync(path).length > 0;
      } catch {
        return false;
      }
    });
}

/** A folder and all below, deepest first. */
function walk(path: string): string[] {
  const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...below.flatMap((entry) => walk(join(path, entry.name))), path];
}

function removeGroups(name: string): void {
  for (const root of roots(name)) for (const path of walk(root)) rmdirSync(path);
}
