/** What the kernel offers to containers: which limits of a HostConfig take effect here, for warnings, `info` and defaults. */
export interface KernelSupport {
  cpus: number;
  cgroupVersion: 1 | 2;
  memoryLimit: boolean;
  swapLimit: boolean;
  memoryReservation: boolean;
  memorySwappiness: boolean;
  oomKillDisable: boolean;
  cpuShares: boolean;
  cpuCfs: boolean;
  cpuRealtime: boolean;
  cpuset: boolean;
  /** Lists as "0-3,8". */
  cpusetCpus: string;
  cpusetMems: string;
  pidsLimit: boolean;
  blkioWeight: boolean;
  blkioWeightDevice: boolean;
  blkioReadBps: boolean;
  blkioWriteBps: boolean;
  blkioReadIops: boolean;
  blkioWriteIops: boolean;
  cgroupNamespaces: boolean;
  ipv4Forwarding: boolean;
  appArmor: boolean;
  seLinux: boolean;
  /** The CPUs' thermal_throttle folders that exist: masked in containers (they tell secrets of other loads). */
  thermalPaths: readonly string[];
}
