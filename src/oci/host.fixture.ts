import type { HostFacts } from "./host.ts";

/** A machine that has everything. */
export const fullHost: HostFacts = {
  architecture: "x86_64",
  kernelRelease: "6.18.0",
  capabilities: (1n << 41n) - 1n,
  namespaces: new Set(["pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"]),
  cgroups: { mode: "v2", hierarchies: [{ version: 2, mountpoint: "/sys/fs/cgroup", controllers: ["cpu", "memory", "pids", "io", "hugetlb", "cpuset", "rdma"], ownPath: "/" }], files: new Set(["io.bfq.weight"]) },
  apparmor: true,
  selinux: true,
  kcore: true,
};
