/** What the kernel offers to containers, read once. */
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { KernelSupport } from "../core/kernel-support.ts";
import { cpuThermalPath } from "../core/oci-defaults.ts";
import type { CgroupHierarchy, CgroupLayout } from "./cgroups/layout.ts";
import type { HostFacts } from "./host.ts";
import { textOf } from "./host.ts";

export function detectKernelSupport(host: Pick<HostFacts, "cgroups" | "namespaces" | "apparmor" | "selinux">): KernelSupport {
  const cpus = availableParallelism();
  const limits = host.cgroups.mode === "v2" ? unifiedLimits(host.cgroups) : legacyLimits(host.cgroups);
  return {
    ...limits,
    cpus,
    cpusetCpus: cpusetList(host.cgroups, "cpus"),
    cpusetMems: cpusetList(host.cgroups, "mems"),
    cgroupNamespaces: host.namespaces.has("cgroup"),
    ipv4Forwarding: textOf("/proc/sys/net/ipv4/ip_forward").trim() === "1",
    appArmor: host.apparmor,
    seLinux: host.selinux,
    thermalPaths: Array.from({ length: cpus }, (_, cpu) => cpuThermalPath(cpu)).filter((path) => existsSync(path)),
  };
}

type Limits = Omit<KernelSupport, "cpus" | "cpusetCpus" | "cpusetMems" | "cgroupNamespaces" | "ipv4Forwarding" | "appArmor" | "seLinux" | "thermalPaths">;

function legacyLimits({ hierarchies, files }: CgroupLayout): Limits {
  const has = (controller: string): boolean => hierarchies.some((hierarchy) => hierarchy.version === 1 && hierarchy.controllers.includes(controller));
  return {
    cgroupVersion: 1,
    memoryLimit: has("memory"),
    swapLimit: files.has("memory.memsw.limit_in_bytes"),
    memoryReservation: files.has("memory.soft_limit_in_bytes"),
    memorySwappiness: files.has("memory.swappiness"),
    oomKillDisable: files.has("memory.oom_control"),
    cpuShares: files.has("cpu.shares"),
    cpuCfs: files.has("cpu.cfs_quota_us"),
    cpuRealtime: files.has("cpu.rt_period_us"),
    cpuset: has("cpuset"),
    pidsLimit: has("pids"),
    blkioWeight: files.has("blkio.weight"),
    blkioWeightDevice: files.has("blkio.weight_device"),
    blkioReadBps: files.has("blkio.throttle.read_bps_device"),
    blkioWriteBps: files.has("blkio.throttle.write_bps_device"),
    blkioReadIops: files.has("blkio.throttle.read_iops_device"),
    blkioWriteIops: files.has("blkio.throttle.write_iops_device"),
  };
}

function unifiedLimits({ hierarchies, files }: CgroupLayout): Limits {
  const has = (controller: string): boolean => hierarchies.some((hierarchy) => hierarchy.version === 2 && hierarchy.controllers.includes(controller));
  return {
    cgroupVersion: 2,
    memoryLimit: has("memory"),
    swapLimit: files.has("memory.swap.max"),
    memoryReservation: has("memory"),
    memorySwappiness: false,
    oomKillDisable: false,
    cpuShares: has("cpu"),
    cpuCfs: has("cpu"),
    cpuRealtime: false,
    cpuset: has("cpuset"),
    pidsLimit: has("pids"),
    blkioWeight: files.has("io.weight") || files.has("io.bfq.weight"),
    blkioWeightDevice: files.has("io.weight") || files.has("io.bfq.weight"),
    blkioReadBps: has("io"),
    blkioWriteBps: has("io"),
    blkioReadIops: has("io"),
    blkioWriteIops: has("io"),
  };
}

/** What containers may be pinned to: what this hierarchy's root has. */
function cpusetList({ hierarchies, mode }: CgroupLayout, kind: "cpus" | "mems"): string {
  const hierarchy = hierarchies.find((candidate: CgroupHierarchy) => candidate.controllers.includes("cpuset"));
  if (!hierarchy) return "";
  return readFirst([join(hierarchy.mountpoint, `cpuset.${kind}${mode === "v2" ? ".effective" : ""}`), join(hierarchy.mountpoint, `cpuset.effective_${kind}`)]);
}

function readFirst(paths: readonly string[]): string {
  for (const path of paths) if (existsSync(path)) return readFileSync(path, "utf8").trim();
  return "";
}
