/** What a task has used, as its cgroups and network namespace count it. Absent parts are not counted on this machine. */
export interface TaskStats {
  cpu?: CpuStats;
  throttling: { periods: number; throttledPeriods: number; /** Nanoseconds. */ throttledTime: number };
  memory?: MemoryStats;
  pids?: { current: number; /** Absent: no limit. */ limit?: number };
  blkio: Partial<Record<BlkioTable, BlkioEntry[]>>;
  /** By interface, without the loopback. */
  networks: Record<string, NetworkStats>;
}

/** Nanoseconds. */
export interface CpuStats {
  total: number;
  user: number;
  kernel: number;
  /** By processor; cgroup v1 only. */
  perCpu?: number[];
}

/** Bytes. */
export interface MemoryStats {
  usage: number;
  /** cgroup v1, and v2 where the kernel has memory.peak. */
  maxUsage?: number;
  failures?: number;
  limit: number;
  /** memory.stat as it is. */
  details: Record<string, number>;
}

export type BlkioTable = "ioServiceBytes" | "ioServiced" | "ioQueued" | "ioServiceTime" | "ioWaitTime" | "ioMerged" | "ioTime" | "sectors";

export interface BlkioEntry {
  major: number;
  minor: number;
  op: string;
  value: number;
}

export interface NetworkStats {
  rxBytes: number;
  rxPackets: number;
  rxErrors: number;
  rxDropped: number;
  txBytes: number;
  txPackets: number;
  txErrors: number;
  txDropped: number;
}
