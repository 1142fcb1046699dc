/** Everything of the kernel that the engine uses, whether this machine has it, and what its absence costs: `gantry check`. */
import { capabilityNames } from "../core/oci-defaults.ts";
import type { HostFacts } from "./host.ts";
import { detectHost, textOf } from "./host.ts";
import { readKernelConfig } from "./kernel-config.ts";

export interface CheckRow {
  feature: string;
  present: boolean;
  detail?: string;
  /** What does not work without it. */
  cost: string;
}

/** What the rows are made from; a test gives its own. */
export interface CheckSource {
  host: HostFacts;
  root: boolean;
  /** Lines of /proc/filesystems, without "nodev". */
  fileSystems: ReadonlySet<string>;
  seccompActions: string;
  config: ((option: string) => "y" | "m" | "n") | undefined;
}

export function checkHost(): CheckRow[] {
  const host = detectHost();
  return checkRows({
    host,
    root: process.geteuid?.() === 0,
    fileSystems: new Set(textOf("/proc/filesystems").split("\n").map((line) => line.split("\t")[1] ?? "")),
    seccompActions: textOf("/proc/sys/kernel/seccomp/actions_avail"),
    config: readKernelConfig(host.kernelRelease),
  });
}

export function checkRows(source: CheckSource): CheckRow[] {
  return [
    { feature: "user: root", present: source.root, cost: "gantryd does not run; gantry-runtime runs containers in user namespaces alone" },
    ...kernelRows(source),
    ...namespaceRows(source),
    ...cgroupRows(source),
    ...capabilityRows(source),
    ...securityRows(source),
    ...fileSystemRows(source),
    ...configuredRows(source),
  ];
}

/** First kernel with what is used without an alternative, and with what is used when there. */
const kernelVersions: [feature: string, version: string, cost: string][] = [
  ["kernel: new mount calls, clone3, openat2, pidfd, close_range", "5.11", "nothing runs"],
  ["kernel: mount_setattr", "5.12", "nothing runs: attributes of mounts, and recursively read-only binds, need it"],
  ["kernel: cgroup.kill", "5.14", "containers without a pid namespace of their own are ended process by process"],
  ["kernel: overlay layers one by one (lowerdir+)", "6.7", "mounting a root file system takes some system calls more for each layer"],
];

function kernelRows({ host }: CheckSource): CheckRow[] {
  return kernelVersions.map(([feature, version, cost]) => ({ feature, present: atLeast(host.kernelRelease, version), detail: `needs Linux ${version}, this is ${host.kernelRelease}`, cost }));
}

function atLeast(release: string, version: string): boolean {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = version.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

const namespaceCosts: Record<string, string> = {
  mnt: "nothing runs",
  pid: "containers need --pid=host",
  net: "containers need --network=host",
  ipc: "containers need --ipc=host",
  uts: "containers need --uts=host, without a hostname of their own",
  cgroup: "containers need --cgroupns=host",
  user: "no id mapping: --userns-remap and id-mapped mounts",
  time: "clock offsets of an OCI configuration are refused",
};

function namespaceRows({ host }: CheckSource): CheckRow[] {
  return Object.entries(namespaceCosts).map(([name, cost]) => ({ feature: `namespace: ${name}`, present: host.namespaces.has(name), cost }));
}

const controllerCosts: [names: string[], cost: string][] = [
  [["cpu"], "--cpus, --cpu-shares, --cpu-quota and the like are refused"],
  [["cpuset"], "--cpuset-cpus and --cpuset-mems are refused"],
  [["memory"], "--memory and the like are refused, a container can take the machine's memory"],
  [["pids"], "--pids-limit is refused, a container can fork without end"],
  [["blkio", "io"], "--blkio-weight and --device-read-bps and the like are refused"],
  [["hugetlb"], "limits of huge pages are refused"],
  [["devices"], "containers reach every device that they have a node of, and may make nodes"],
  [["freezer"], "no pause"],
];

function cgroupRows({ host: { cgroups } }: CheckSource): CheckRow[] {
  const find = (name: string): string | undefined => {
    const v2 = cgroups.hierarchies.find(({ version }) => version === 2);
    const builtin = v2 !== undefined && (name === "freezer" || name === "devices") ? v2 : undefined;
    return (cgroups.hierarchies.find(({ controllers }) => controllers.includes(name)) ?? builtin)?.mountpoint;
  };
  const rows = controllerCosts.map(([names, cost]) => {
    const at = names.map(find).find((mountpoint) => mountpoint !== undefined);
    return { feature: `cgroup: ${names.join(" or ")}`, present: at !== undefined, ...(at !== undefined && { detail: at }), cost };
  });
  const swap = cgroups.files.has("memory.memsw.limit_in_bytes") || cgroups.files.has("memory.swap.max");
  const weights = ["blkio.weight", "blkio.bfq.weight", "io.weight", "io.bfq.weight"].some((file) => cgroups.files.has(file));
  return [
    { feature: "cgroup: mounted", present: cgroups.mode !== "none", detail: cgroups.mode, cost: "no limits, no devices, no list of a container's processes" },
    ...rows,
    { feature: "cgroup: swap accounting", present: swap, cost: "--memory-swap has no effect" },
    { feature: "cgroup: weights of block devices", present: weights, cost: "--blkio-weight has no effect" },
  ];
}

const capabilityCosts: Record<string, string> = {
  CAP_SYS_ADMIN: "nothing runs",
  CAP_SYS_CHROOT: "nothing runs",
  CAP_MKNOD: "device nodes are bind mounts of the host's",
  CAP_NET_ADMIN: "no networks but host and none",
  CAP_SYS_RESOURCE: "hard limits (--ulimit) above the daemon's own stay at the daemon's",
  CAP_SETPCAP: "nothing runs: a container's capabilities cannot be limited",
  CAP_SETUID: "containers cannot have a user",
  CAP_SETGID: "containers cannot have a group",
  CAP_SYS_PTRACE: "exec into containers of other users fails",
  CAP_BPF: "no device rules on cgroup v2",
};

function capabilityRows({ host }: CheckSource): CheckRow[] {
  return capabilityNames.map((name, number) => ({ feature: `capability: ${name}`, present: ((host.capabilities >> BigInt(number)) & 1n) === 1n, cost: capabilityCosts[name] ?? "containers cannot be given it, --privileged goes without" }));
}

function securityRows({ host, seccompActions }: CheckSource): CheckRow[] {
  return [
    { feature: "security: seccomp filters", present: / errno /.test(` ${seccompActions} `), cost: "containers must run with --security-opt seccomp=unconfined" },
    { feature: "security: AppArmor", present: host.apparmor, cost: "no AppArmor profiles, the default one neither" },
    { feature: "security: SELinux", present: host.selinux, cost: "no SELinux labels" },
  ];
}

const fileSystemCosts: Record<string, string> = {
  overlay: "storage driver vfs: every container is a full copy of its image",
  proc: "nothing runs",
  tmpfs: "nothing runs",
  sysfs: "containers have no /sys",
  devpts: "no terminals (-t)",
  mqueue: "no POSIX message queues",
};

function fileSystemRows({ fileSystems }: CheckSource): CheckRow[] {
  return Object.entries(fileSystemCosts).map(([name, cost]) => ({ feature: `file system: ${name}`, present: fileSystems.has(name), cost }));
}

const configured: [feature: string, options: string[], cost: string][] = [
  ["network: bridge", ["CONFIG_BRIDGE"], "no bridge networks: containers need --network=host or none"],
  ["network: veth", ["CONFIG_VETH"], "no bridge networks: containers need --network=host or none"],
  ["network: nftables with NAT", ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_INET", "CONFIG_NFT_NAT", "CONFIG_NFT_MASQ"], "containers on bridges do not reach other machines, and no ports are published"],
  ["network: nftables address types", ["CONFIG_NFT_FIB_INET"], "published ports are not reachable by every address of this machine"],
  ["network: vxlan", ["CONFIG_VXLAN"], "no overlay networks"],
  ["network: macvlan", ["CONFIG_MACVLAN"], "no macvlan networks"],
  ["network: ipvlan", ["CONFIG_IPVLAN"], "no ipvlan networks"],
  ["kernel: bandwidth of cpu groups", ["CONFIG_CFS_BANDWIDTH"], "--cpus and --cpu-quota are refused"],
  ["kernel: device programs", ["CONFIG_CGROUP_BPF"], "no device rules on cgroup v2"],
  ["kernel: keyrings", ["CONFIG_KEYS"], "containers share no keyring with anyone, and have none"],
];

function configuredRows({ config }: CheckSource): CheckRow[] {
  return configured.map(([feature, options, cost]) => {
    if (config === undefined) return { feature, present: true, detail: "not verified: this kernel does not show its configuration", cost };
    const missing = options.filter((option) => config(option) === "n");
    const modules = options.filter((option) => config(option) === "m");
    const detail = missing.length > 0 ? `without ${missing.join(", ")}` : modules.length > 0 ? `as a module: ${modules.join(", ")}` : undefined;
    return { feature, present: missing.length === 0, ...(detail !== undefined && { detail }), cost };
  });
}
