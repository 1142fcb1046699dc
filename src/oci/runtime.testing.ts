/** Real containers for tests: a root file system of busybox, a runtime with an exec root of its own, and everything removed at the end. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { StdioRequest, TaskRequest } from "../core/runtime.ts";
import type { OciSpec } from "../lib/oci-spec.ts";
import { detectHost } from "./host.ts";
import { ShimRuntime } from "./runtime.ts";
import type { RuntimeOptions } from "./runtime.ts";
import { defaultSeccomp } from "./seccomp/profile.ts";

export const busybox = ["/bin/busybox", "/usr/bin/busybox"].find(existsSync);
/** Why tests that need real containers cannot run here; false when they can. */
export const cannotRun: string | false = process.getuid?.() !== 0 ? "needs root" : busybox === undefined ? "needs busybox (Debian: busybox-static)" : false;

export const host = detectHost();

/** The parent of all control groups: each test file its own, as the last one out removes it. */
export const testGroup = `gantry-shim-test-${process.pid}`;

const applets = ["sh", "true", "false", "echo", "cat", "sleep", "id", "env", "ls", "mkdir", "printf", "head", "stat", "hostname", "ps", "kill", "yes", "dd", "stty", "tty", "mount", "pwd", "grep", "touch", "readlink", "wc", "seq"];

export class TestBench implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "gantry-shim-test-"));
  readonly execRoot = join(this.folder, "run");
  readonly rootfs = join(this.folder, "rootfs");
  readonly prefix = `shimtest-${process.pid}-`;
  runtime: ShimRuntime;
  #count = 0;

  constructor(options: Partial<RuntimeOptions> = {}) {
    this.#makeRootfs();
    this.runtime = this.newRuntime(options);
  }

  newRuntime(options: Partial<RuntimeOptions> = {}): ShimRuntime {
    return new ShimRuntime({ execRoot: this.execRoot, host, ...options });
  }

  #makeRootfs(): void {
    for (const dir of ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/web"]) mkdirSync(join(this.rootfs, dir), { recursive: true });
    chmodSync(join(this.rootfs, "tmp"), 0o1777);
    copyFileSync(busybox!, join(this.rootfs, "bin/busybox"));
    for (const applet of applets) symlinkSync("busybox", join(this.rootfs, "bin", applet));
    writeFileSync(join(this.rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:Web:/home/web:/bin/sh\nbroken:x:abc:0::/:\n");
    writeFileSync(join(this.rootfs, "etc/group"), "root:x:0:\nwebgroup:x:1001:\nextra:x:2000:root,web\nother:x:2001:\n");
  }

  /** A request for a container that runs `args`; `change` may change anything. */
  request(args: string[], change: (spec: OciSpec, request: TaskRequest) => void = () => {}): TaskRequest {
    const id = `${this.prefix}${++this.#count}`;
    const upper = join(this.folder, id);
    for (const dir of ["upper", "work"]) mkdirSync(join(upper, dir), { recursive: true });
    const request: TaskRequest = {
      id,
      spec: specOf(id, args),
      rootfs: [{ type: "overlay", lower: [this.rootfs], upper: join(upper, "upper"), work: join(upper, "work"), options: [] }],
      stdio: { terminal: false, stdin: false, stdinOnce: false },
      log: { kind: "json-file", path: join(upper, "log"), maxFiles: 1 },
      autostart: true,
    };
    change(request.spec, request);
    return request;
  }

  /** Runs to the end. */
  async run(args: string[], change?: (spec: OciSpec, request: TaskRequest) => void): Promise<{ code: number; stdout: string; stderr: string; oomKilled: boolean }> {
    const request = this.request(args, change);
    const task = await this.runtime.create(request);
    const exit = await task.exited;
    const streams = request.log.kind === "none" ? { stdout: "", stderr: "" } : readLog(request.log.path);
    await task.release();
    return { code: exit.code, oomKilled: exit.oomKilled, ...streams };
  }

  /** Folders that are left in any cgroup hierarchy. */
  leftCgroups(): string[] {
    return host.cgroups.hierarchies.flatMap(({ mountpoint }) => {
      const parent = join(mountpoint, testGroup);
      return existsSync(parent) ? readdirSync(parent, { withFileTypes: true }).filter((entry) => entry.isDirectory() && entry.name.startsWith(this.prefix)).map(({ name }) => join(parent, name)) : [];
    });
  }

  leftFolders(): string[] {
    return existsSync(this.execRoot) ? readdirSync(this.execRoot, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name) : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of await this.runtime.list()) {
      const recovered = await this.runtime.recover(id).catch(() => undefined);
      if (recovered?.kind === "running") {
        await recovered.task.signal(9).catch(() => undefined);
        await recovered.task.release();
      } else await this.runtime.purge(id);
    }
    await this.runtime.launcher.end();
    await this.runtime.close();
    for (const { mountpoint } of host.cgroups.hierarchies) {
      try {
        execFileSync("rmdir", ["--ignore-fail-on-non-empty", join(mountpoint, testGroup)], { stdio: "ignore" });
      } catch {
        // It never was.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const stdio = (change: Partial<StdioRequest> = {}): StdioRequest => ({ terminal: false, stdin: false, stdinOnce: false, ...change });

const defaultCapabilities = ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"].map((name) => `CAP_${name}`);

export function specOf(id: string, args: string[]): OciSpec {
  return {
    ociVersion: "1.2.0",
    process: {
      user: { uid: 0, gid: 0 },
      args,
      env: ["PATH=/usr/bin:/bin"],
      cwd: "/",
      capabilities: { bounding: defaultCapabilities, effective: defaultCapabilities, permitted: defaultCapabilities },
      noNewPrivileges: false,
    },
    root: { path: "/" },
    hostname: "tester",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
    ],
    linux: {
      namespaces: [{ type: "mount" }, { type: "network" }, { type: "uts" }, { type: "pid" }, { type: "ipc" }, { type: "cgroup" }],
      cgroupsPath: `/${testGroup}/${id}`,
      resources: {},
      seccomp: defaultSeccomp({ capabilities: defaultCapabilities, host }),
      maskedPaths: ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

export interface LogEntry {
  log: string;
  stream: string;
  time: string;
  attrs?: Record<string, string>;
}

export function logEntries(path: string): LogEntry[] {
  return readFileSync(path, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line) as LogEntry);
}

export function readLog(path: string): { stdout: string; stderr: string } {
  const of = (stream: string): string => logEntries(path).filter((entry) => entry.stream === stream).map(({ log }) => log).join("");
  return { stdout: of("stdout"), stderr: of("stderr") };
}

/** Everything until the stream ends. */
export async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Docker's multiplexed frames, put together by stream. */
export function demultiplex(bytes: Buffer): { stdout: string; stderr: string } {
  const streams = { stdout: "", stderr: "" };
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    streams[bytes[at] === 2 ? "stderr" : "stdout"] += bytes.toString("utf8", at + 8, at + 8 + length);
    at += 8 + length;
  }
  return streams;
}
