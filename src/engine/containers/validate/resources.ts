/**
 * Checks limits of `create` and `update` against the ranges that Docker allows and what the kernel has. Limits that the
 * kernel cannot enforce are taken out with a warning, as Docker does.
 */
import type { Resources } from "../../../core/container-config.ts";
import type { KernelSupport } from "../../../core/kernel-support.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import { checkCpusetAvailable } from "./cpuset.ts";

const MIN_MEMORY = 6 * 1024 * 1024;

type Check = (resources: Resources, kernel: KernelSupport, warn: (text: string) => void, isUpdate: boolean) => void;

/** Changes `resources` in place and returns the warnings. */
export function verifyResources(resources: Resources, kernel: KernelSupport, isUpdate: boolean): string[] {
  const warnings: string[] = [];
  for (const check of [memory, oomAndPids, cpu, cpuset, blockIo]) check(resources, kernel, (text) => warnings.push(text), isUpdate);
  return warnings;
}

const memory: Check = (resources, kernel, warn, isUpdate) => {
  if (resources.MemorySwappiness === -1) resources.MemorySwappiness = null;
  if (resources.Memory !== 0 && resources.Memory < MIN_MEMORY) throw invalidParameter("Minimum memory limit allowed is 6MB");
  if (resources.Memory > 0 && !kernel.memoryLimit) {
    warn("Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.");
    resources.Memory = 0;
    resources.MemorySwap = -1;
  }
  if (resources.Memory > 0 && resources.MemorySwap !== -1 && !kernel.swapLimit) {
    warn("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
    resources.MemorySwap = -1;
  }
  if (resources.Memory > 0 && resources.MemorySwap > 0 && resources.MemorySwap < resources.Memory) throw invalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (resources.Memory === 0 && resources.MemorySwap > 0 && !isUpdate) throw invalidParameter("You should always set the Memory limit when using Memoryswap limit, see usage");
  swappiness(resources, kernel, warn);
  if (resources.MemoryReservation > 0 && !kernel.memoryReservation) {
    warn("Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.");
    resources.MemoryReservation = 0;
  }
  if (resources.MemoryReservation > 0 && resources.MemoryReservation < MIN_MEMORY) throw invalidParameter("Minimum memory reservation allowed is 6MB");
  if (resources.Memory > 0 && resources.MemoryReservation > 0 && resources.Memory < resources.MemoryReservation) throw invalidParameter("Minimum memory limit can not be less than memory reservation limit, see usage");
};

function swappiness(resources: Resources, kernel: KernelSupport, warn: (text: string) => void): void {
  const value = resources.MemorySwappiness;
  if (value === null) return;
  if (!kernel.memorySwappiness) {
    warn("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.");
    resources.MemorySwappiness = null;
  } else if (value < 0 || value > 100) {
    throw invalidParameter(`Invalid value: ${value}, valid memory swappiness range is 0-100`);
  }
}

const oomAndPids: Check = (resources, kernel, warn) => {
  if (resources.OomKillDisable !== null && !kernel.oomKillDisable) {
    if (resources.OomKillDisable) warn("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
    resources.OomKillDisable = null;
  }
  if (resources.OomKillDisable && resources.Memory === 0) warn("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.");
  if (resources.PidsLimit !== null && !kernel.pidsLimit) {
    if (resources.PidsLimit > 0) warn("Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
    resources.PidsLimit = null;
  }
};

const cpu: Check = (resources, kernel, warn) => {
  if (resources.NanoCpus > 0 && resources.CpuPeriod > 0) throw invalidParameter("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (resources.NanoCpus > 0 && resources.CpuQuota > 0) throw invalidParameter("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (resources.NanoCpus > 0 && !kernel.cpuCfs) throw invalidParameter("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
  if (resources.NanoCpus < 0 || resources.NanoCpus > kernel.cpus * 1e9) throw invalidParameter(`range of CPUs is from 0.01 to ${kernel.cpus}.00, as there are only ${kernel.cpus} CPUs available`);
  if (resources.CpuShares > 0 && !kernel.cpuShares) {
    warn("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.");
    resources.CpuShares = 0;
  }
  if ((resources.CpuPeriod !== 0 || resources.CpuQuota !== 0) && !kernel.cpuCfs) {
    warn("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
    resources.CpuPeriod = 0;
    resources.CpuQuota = 0;
  }
  if (resources.CpuPeriod !== 0 && (resources.CpuPeriod < 1000 || resources.CpuPeriod > 1_000_000)) throw invalidParameter("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (resources.CpuQuota > 0 && resources.CpuQuota < 1000) throw invalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if (resources.CpuPercent > 0) {
    warn("linux does not support CPU percent. Percent discarded.");
    resources.CpuPercent = 0;
  }
};

const cpuset: Check = (resources, kernel, warn) => {
  if ((resources.CpusetCpus !== "" || resources.CpusetMems !== "") && !kernel.cpuset) {
    warn("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.");
    resources.CpusetCpus = "";
    resources.CpusetMems = "";
  }
  checkCpusetAvailable(resources.CpusetCpus, kernel.cpusetCpus, { list: "cpuset cpus", missing: "CPUs" });
  checkCpusetAvailable(resources.CpusetMems, kernel.cpusetMems, { list: "cpuset mems", missing: "memory nodes" });
};

const blockIo: Check = (resources, kernel, warn) => {
  if (resources.BlkioWeight > 0 && !kernel.blkioWeight) {
    warn("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
    resources.BlkioWeight = 0;
  }
  if (resources.BlkioWeight > 0 && (resources.BlkioWeight < 10 || resources.BlkioWeight > 1000)) throw invalidParameter("Range of blkio weight is from 10 to 1000");
  if (resources.IOMaximumBandwidth !== 0 || resources.IOMaximumIOps !== 0) throw invalidParameter("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
  if ((resources.BlkioWeightDevice?.length ?? 0) > 0 && !kernel.blkioWeightDevice) {
    warn("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.");
    resources.BlkioWeightDevice = [];
  }
  for (const { key, support, words } of throttles) {
    if ((resources[key]?.length ?? 0) === 0 || kernel[support]) continue;
    warn(words);
    resources[key] = [];
  }
};

const throttles = [
  { key: "BlkioDeviceReadBps", support: "blkioReadBps", words: "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded." },
  { key: "BlkioDeviceWriteBps", support: "blkioWriteBps", words: "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded." },
  { key: "BlkioDeviceReadIOps", support: "blkioReadIops", words: "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded." },
  { key: "BlkioDeviceWriteIOps", support: "blkioWriteIops", words: "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded." },
] as const;
