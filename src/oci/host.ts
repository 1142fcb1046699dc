/**
 * What the machine offers, as data: compile() is a pure function of a configuration and these facts. Detected once by the
 * daemon at its start, and by each call of gantry-runtime.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import type { CgroupLayout } from "./cgroups/layout.ts";
import { detectLayout } from "./cgroups/layout.ts";

export type Architecture = "x86_64" | "aarch64";

export interface HostFacts {
  architecture: Architecture;
  /** uname -r */
  kernelRelease: string;
  /** Capabilities that this process may hand on (its bounding set). */
  capabilities: bigint;
  /** File names in /proc/self/ns. */
  namespaces: ReadonlySet<string>;
  cgroups: CgroupLayout;
  apparmor: boolean;
  selinux: boolean;
  /** /proc/kcore is there, and so is the container's /dev/core. */
  kcore: boolean;
}

/** `proc`: of the process whose rights and groups count. */
export function detectHost(proc = "/proc/self"): HostFacts {
  return {
    architecture: architectureOf(process.arch),
    kernelRelease: release(),
    capabilities: boundingSet(readFileSync(`${proc}/status`, "utf8")),
    namespaces: new Set(readdirSync("/proc/self/ns")),
    cgroups: detectLayout(proc),
    apparmor: textOf("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    selinux: existsSync("/sys/fs/selinux/enforce"),
    kcore: existsSync("/proc/kcore"),
  };
}

function architectureOf(nodeArchitecture: string): Architecture {
  if (nodeArchitecture === "x64") return "x86_64";
  if (nodeArchitecture === "arm64") return "aarch64";
  throw new Error(`gantry runs on x86_64 and aarch64, not on ${nodeArchitecture}`);
}

function boundingSet(status: string): bigint {
  return BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
}

/** A file's text; "" when it cannot be read. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
