/** Facts about this machine, read when they are first asked for. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { arch, availableParallelism, machine as hardware, release, totalmem } from "node:os";
import type { CgroupFeatures, Machine } from "../../engine/system/types.ts";
import { detectLayout } from "../../oci/cgroups/layout.ts";

const GO_ARCHITECTURES: Record<string, string> = { x64: "amd64", ia32: "386", arm64: "arm64", arm: "arm", ppc64: "ppc64le", s390x: "s390x", riscv64: "riscv64", loong64: "loong64" };

let known: Machine | undefined;

export function machine(): Machine {
  known ??= {
    kernelVersion: release(),
    operatingSystem: operatingSystem(),
    osVersion: osRelease("VERSION_ID"),
    architecture: hardware(),
    goArchitecture: GO_ARCHITECTURES[arch()] ?? arch(),
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    cgroups: cgroupFeatures(),
    apparmor: readOrEmpty("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    seccomp: existsSync("/proc/sys/kernel/seccomp/actions_avail"),
  };
  return known;
}

export const openFiles = (): number => readdirSync("/proc/self/fd").length;
export const ipv4Forwarding = (): boolean => readOrEmpty("/proc/sys/net/ipv4/ip_forward").startsWith("1");

/** How many files this process may open. */
export function maxOpenFiles(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readOrEmpty("/proc/self/limits"));
  return line === null ? 1024 : Number(line[1]);
}

function operatingSystem(): string {
  const name = osRelease("PRETTY_NAME") || "Linux";
  return isContainerized() ? `${name} (containerized)` : name;
}

function osRelease(key: string): string {
  const text = readOrEmpty("/etc/os-release") || readOrEmpty("/usr/lib/os-release");
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${key}=`));
  return line === undefined ? "" : line.slice(key.length + 1).replace(/^["']|["']$/g, "");
}

/** Init is not in the root of every cgroup. */
const isContainerized = (): boolean =>
  readOrEmpty("/proc/1/cgroup")
    .split("\n")
    .some((line) => line !== "" && !line.endsWith(":/") && !line.endsWith(":/init.scope"));

function cgroupFeatures(): CgroupFeatures {
  const { mode, hierarchies, files } = detectLayout();
  const isV2 = mode === "v2";
  const controllers = new Set(hierarchies.filter(({ version }) => version === (isV2 ? 2 : 1)).flatMap((hierarchy) => hierarchy.controllers));
  const any = (...names: string[]): boolean => names.some((name) => files.has(name));
  return {
    version: isV2 ? "2" : "1",
    memoryLimit: controllers.has("memory"),
    swapLimit: isV2 ? any("memory.swap.max") : any("memory.memsw.limit_in_bytes"),
    oomKillDisable: !isV2 && any("memory.oom_control"),
    cpuCfs: isV2 ? controllers.has("cpu") : any("cpu.cfs_quota_us"),
    cpuShares: isV2 ? controllers.has("cpu") : any("cpu.shares"),
    cpuset: controllers.has("cpuset"),
    pidsLimit: controllers.has("pids"),
    blkioReadBps: isV2 ? controllers.has("io") : any("blkio.throttle.read_bps_device"),
    blkioWriteBps: isV2 ? controllers.has("io") : any("blkio.throttle.write_bps_device"),
    blkioReadIops: isV2 ? controllers.has("io") : any("blkio.throttle.read_iops_device"),
    blkioWriteIops: isV2 ? controllers.has("io") : any("blkio.throttle.write_iops_device"),
  };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
