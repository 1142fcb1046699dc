/** The engine's view of the machine (core/kernel-support.ts), from the runtime's. */
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { KernelSupport } from "../core/kernel-support.ts";
import { cpuThermalPath } from "../core/oci-defaults.ts";
import type { HostFacts } from "./host.ts";
import { textOf } from "./host.ts";

export function kernelSupport({ cgroups, namespaces, apparmor, selinux }: HostFacts): KernelSupport {
  const has = (...files: string[]): boolean => files.some((file) => cgroups.files.has(file));
  const controller = (name: string): string | undefined => cgroups.hierarchies.find(({ controllers }) => controllers.includes(name))?.mountpoint;
  const v2 = cgroups.mode === "v2";
  const memory = controller("memory") !== undefined;
  const io = controller("blkio") !== undefined || controller("io") !== undefined;
  const cpuset = controller("cpuset");
  const cpusetList = (kind: "cpus" | "mems"): string => (cpuset === undefined ? "" : textOf(join(cpuset, v2 ? `cpuset.${kind}.effective` : `cpuset.${kind}`)).trim());
  return {
    cpus: availableParallelism(),
    cgroupVersion: v2 ? 2 : 1,
    memoryLimit: memory,
    swapLimit: memory && has("memory.memsw.limit_in_bytes", "memory.swap.max"),
    memoryReservation: memory,
    memorySwappiness: memory && !v2,
    oomKillDisable: memory && !v2,
    cpuShares: controller("cpu") !== undefined,
    cpuCfs: has("cpu.cfs_quota_us", "cpu.max"),
    cpuRealtime: has("cpu.rt_runtime_us"),
    cpuset: cpuset !== undefined,
    cpusetCpus: cpusetList("cpus"),
    cpusetMems: cpusetList("mems"),
    pidsLimit: controller("pids") !== undefined,
    blkioWeight: has("blkio.weight", "blkio.bfq.weight", "io.weight", "io.bfq.weight"),
    blkioWeightDevice: has("blkio.weight_device", "blkio.bfq.weight_device", "io.weight", "io.bfq.weight"),
    blkioReadBps: io,
    blkioWriteBps: io,
    blkioReadIops: io,
    blkioWriteIops: io,
    cgroupNamespaces: namespaces.has("cgroup"),
    ipv4Forwarding: textOf("/proc/sys/net/ipv4/ip_forward").trim() === "1",
    appArmor: apparmor,
    seLinux: selinux,
    thermalPaths: readdirSync("/sys/devices/system/cpu")
      .flatMap((name) => /^cpu(\d+)$/.exec(name)?.[1] ?? [])
      .map((cpu) => cpuThermalPath(Number(cpu)))
      .filter((path) => existsSync(path)),
  };
}
