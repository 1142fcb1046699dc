/** Bundles of a static busybox, and gantry-runtime called on them; everything that was made goes with `using`. */
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultCapabilities, defaultDeviceRules, defaultMaskedPaths, defaultMounts, defaultNamespaces, defaultReadonlyPaths } from "../../src/core/oci-defaults.ts";
import { until } from "../../src/lib/eventually.testing.ts";
import type { OciProcess, OciSpec } from "../../src/lib/oci-spec.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";

export const busybox = spawnSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).stdout.trim();

/** Why such tests cannot run here, or false. */
export const skip = process.getuid?.() !== 0 ? "needs root" : busybox === "" ? "needs busybox (busybox-static)" : false;

export const capabilities = { bounding: [...defaultCapabilities], effective: [...defaultCapabilities], permitted: [...defaultCapabilities] };

export interface State {
  status: string;
  pid: number;
}

/** Absent: the sources on this Node; else another program, such as build/native/gantry-runtime. */
const program = process.env["GANTRY_TEST_RUNTIME"];

let count = 0;

export class Bundle implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "gantry-runtime-test-"));
  readonly rootfs = join(this.folder, "rootfs");
  /** Also the name of its cgroup's parent. */
  readonly id = `gantry-test-${process.pid}-${++count}`;
  /** Takes what line() gives. */
  readonly program = program ?? process.execPath;
  readonly cgroupsPath = `/${this.id}/c`;

  constructor(change: Partial<OciSpec> = {}, linux: Partial<NonNullable<OciSpec["linux"]>> = {}) {
    for (const name of ["bin", "proc", "dev", "sys", "tmp", "etc"]) mkdirSync(join(this.rootfs, name), { recursive: true });
    copyFileSync(busybox, join(this.rootfs, "bin/busybox"));
    for (const name of execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n")) if (name !== "busybox") symlinkSync("busybox", join(this.rootfs, "bin", name));
    this.configure(change, linux);
  }

  /** config.json: Docker's defaults with these changes. */
  configure(change: Partial<OciSpec>, linux: Partial<NonNullable<OciSpec["linux"]>> = {}): void {
    const spec: OciSpec = {
      ociVersion: "1.2.0",
      process: processOf(["true"]),
      root: { path: "rootfs" },
      mounts: [...defaultMounts],
      ...change,
      linux: {
        cgroupsPath: this.cgroupsPath,
        namespaces: [...defaultNamespaces, "cgroup" as const].map((type) => ({ type })),
        maskedPaths: [...defaultMaskedPaths],
        readonlyPaths: [...defaultReadonlyPaths],
        resources: { devices: [...defaultDeviceRules] },
        ...linux,
      },
    };
    writeFileSync(join(this.folder, "config.json"), JSON.stringify(spec));
  }

  /** gantry-runtime with a state folder of this bundle's own. */
  runtime(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return this.runtimeWith({}, ...args);
  }

  runtimeWith({ stdin, fds = [] }: { stdin?: number; /** Its fds from 3 on. */ fds?: number[] }, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
    // Files, not pipes: a detached container keeps what it got as its output.
    const [outPath, errPath] = [join(this.folder, "stdout"), join(this.folder, "stderr")];
    const [out, err] = [openSync(outPath, "w"), openSync(errPath, "w")];
    try {
      const { status } = spawnSync(this.program, this.line(args), { cwd: this.folder, timeout: 300_000, stdio: [stdin ?? "ignore", out, err, ...fds] });
      return { status, stdout: readFileSync(outPath, "utf8"), stderr: readFileSync(errPath, "utf8") };
    } finally {
      closeSync(out);
      closeSync(err);
    }
  }

  start(...args: string[]): ChildProcess {
    return spawn(this.program, this.line(args), { cwd: this.folder, stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Output of `run` of a shell script in the container, which must end with 0. */
  run(script: string, change: Partial<OciSpec> = {}, linux: Partial<NonNullable<OciSpec["linux"]>> = {}): string {
    this.configure({ ...change, process: { ...processOf(["sh", "-c", script]), ...change.process, args: ["sh", "-c", script] } }, linux);
    const { status, stdout, stderr } = this.runtime("run", this.id);
    if (status !== 0) throw new Error(`run ended with ${status}: ${stderr}${stdout}`);
    return stdout;
  }

  state(): State {
    const { status, stdout, stderr } = this.runtime("state", this.id);
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as State;
  }

  async until(status: string): Promise<void> {
    await until(`the container is ${status}`, () => this.state().status === status);
  }

  /** Groups of the container that are still there. */
  groups(): string[] {
    return this.#parents().flatMap((path) => readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name)));
  }

  [Symbol.dispose](): void {
    this.runtime("delete", "--force", this.id);
    for (const path of this.#parents()) rmdirSync(path);
    rmSync(this.folder, { recursive: true, force: true });
  }

  line(args: string[]): string[] {
    return [...(program === undefined ? [join(import.meta.dirname, "../../src/cmd/gantry-runtime.ts")] : []), "--root", join(this.folder, "state"), ...args];
  }

  #parents(): string[] {
    return detectLayout().hierarchies.map(({ mountpoint }) => join(mountpoint, this.id)).filter((path) => existsSync(path));
  }
}

export function processOf(args: string[], change: Partial<OciProcess> = {}): OciProcess {
  return { user: { uid: 0, gid: 0 }, args, env: ["PATH=/bin"], cwd: "/", capabilities, ...change };
}
