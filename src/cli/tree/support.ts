/** What becomes of each command and flag, for docs/compatibility.md. What is not named here is done. */

export interface FlagNote {
  status: "done" | "partly" | "refused" | "no meaning";
  note: string;
}

/** Flags of `create` and `run` by the field that they set; undefined: the client does it. */
export const CREATE_FIELDS: Readonly<Record<string, string | undefined>> = {
  "add-host": "HostConfig.ExtraHosts", annotation: "HostConfig.Annotations", attach: "AttachStdout", "blkio-weight": "HostConfig.BlkioWeight", "blkio-weight-device": "HostConfig.BlkioWeightDevice",
  "cap-add": "HostConfig.CapAdd", "cap-drop": "HostConfig.CapDrop", "cgroup-parent": "HostConfig.CgroupParent", cgroupns: "HostConfig.CgroupnsMode", cidfile: "HostConfig.ContainerIDFile",
  "cpu-count": "HostConfig.CpuCount", "cpu-percent": "HostConfig.CpuPercent", "cpu-period": "HostConfig.CpuPeriod", "cpu-quota": "HostConfig.CpuQuota", "cpu-rt-period": "HostConfig.CpuRealtimePeriod", "cpu-rt-runtime": "HostConfig.CpuRealtimeRuntime",
  "cpu-shares": "HostConfig.CpuShares", cpus: "HostConfig.NanoCpus", "cpuset-cpus": "HostConfig.CpusetCpus", "cpuset-mems": "HostConfig.CpusetMems",
  device: "HostConfig.Devices", "device-cgroup-rule": "HostConfig.DeviceCgroupRules", "device-read-bps": "HostConfig.BlkioDeviceReadBps", "device-read-iops": "HostConfig.BlkioDeviceReadIOps",
  "device-write-bps": "HostConfig.BlkioDeviceWriteBps", "device-write-iops": "HostConfig.BlkioDeviceWriteIOps", dns: "HostConfig.Dns", "dns-opt": "HostConfig.DnsOptions", "dns-option": "HostConfig.DnsOptions", "dns-search": "HostConfig.DnsSearch",
  domainname: "Domainname", egress: "HostConfig.Egress", entrypoint: "Entrypoint", env: "Env", "env-file": "Env", expose: "ExposedPorts", gpus: "HostConfig.DeviceRequests", "group-add": "HostConfig.GroupAdd",
  "health-cmd": "Healthcheck.Test", "health-interval": "Healthcheck.Interval", "health-retries": "Healthcheck.Retries", "health-start-interval": "Healthcheck.StartInterval", "health-start-period": "Healthcheck.StartPeriod", "health-timeout": "Healthcheck.Timeout",
  hostname: "Hostname", init: "HostConfig.Init", interactive: "OpenStdin", "io-maxbandwidth": "HostConfig.IOMaximumBandwidth", "io-maxiops": "HostConfig.IOMaximumIOps", ip: "EndpointsConfig[].IPAMConfig.IPv4Address", ip6: "EndpointsConfig[].IPAMConfig.IPv6Address",
  ipc: "HostConfig.IpcMode", isolation: "HostConfig.Isolation", label: "Labels", "label-file": "Labels", link: "HostConfig.Links", "link-local-ip": "EndpointsConfig[].IPAMConfig.LinkLocalIPs", "log-driver": "HostConfig.LogConfig.Type", "log-opt": "HostConfig.LogConfig.Config",
  "mac-address": "EndpointsConfig[].MacAddress", memory: "HostConfig.Memory", "memory-reservation": "HostConfig.MemoryReservation", "memory-swap": "HostConfig.MemorySwap", "memory-swappiness": "HostConfig.MemorySwappiness", mount: "HostConfig.Mounts",
  net: "HostConfig.NetworkMode", "net-alias": "EndpointsConfig[].Aliases", network: "HostConfig.NetworkMode", "network-alias": "EndpointsConfig[].Aliases", "no-healthcheck": "Healthcheck.Test", "oom-kill-disable": "HostConfig.OomKillDisable", "oom-score-adj": "HostConfig.OomScoreAdj",
  pid: "HostConfig.PidMode", "pids-limit": "HostConfig.PidsLimit", privileged: "HostConfig.Privileged", publish: "HostConfig.PortBindings", "publish-all": "HostConfig.PublishAllPorts", "read-only": "HostConfig.ReadonlyRootfs", restart: "HostConfig.RestartPolicy", "restart-unhealthy": "HostConfig.Annotations", rm: "HostConfig.AutoRemove",
  runtime: "HostConfig.Runtime", "security-opt": "HostConfig.SecurityOpt", "shm-size": "HostConfig.ShmSize", "stop-signal": "StopSignal", "stop-timeout": "StopTimeout", "storage-opt": "HostConfig.StorageOpt", sysctl: "HostConfig.Sysctls", tmpfs: "HostConfig.Tmpfs", tty: "Tty",
  ulimit: "HostConfig.Ulimits", user: "User", userns: "HostConfig.UsernsMode", uts: "HostConfig.UTSMode", volume: "HostConfig.Binds", "volume-driver": "HostConfig.VolumeDriver", "volumes-from": "HostConfig.VolumesFrom", workdir: "WorkingDir",
  detach: undefined, "detach-keys": undefined, name: undefined, platform: undefined, pull: undefined, quiet: undefined, "sig-proxy": undefined, trace: undefined, "dry-run": undefined, "use-api-socket": undefined,
};

const noTrust: FlagNote = { status: "no meaning", note: "there is no content trust" };
const noKernelMemory: FlagNote = { status: "no meaning", note: "Linux has no such limit any more" };
const noCluster: FlagNote = { status: "refused", note: "cluster volumes need a swarm" };

/** By command and flag. */
export const FLAG_NOTES: Readonly<Record<string, Readonly<Record<string, FlagNote>>>> = {
  "container create": { "disable-content-trust": noTrust, "kernel-memory": noKernelMemory },
  "container run": { "disable-content-trust": noTrust, "kernel-memory": noKernelMemory },
  "container update": { "kernel-memory": noKernelMemory },
  "image pull": { "disable-content-trust": noTrust },
  "image push": { "disable-content-trust": noTrust },
  "network create": { ingress: { status: "refused", note: "of swarms" } },
  "volume create": Object.fromEntries(["availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred", "topology-required", "type"].map((flag) => [flag, noCluster])),
  "volume update": { availability: noCluster },
};

/** Commands that answer with what the daemon says of parts that are not there yet. */
const REFUSED_GROUPS: readonly string[] = ["config", "node", "plugin", "secret", "service", "stack", "swarm"];

/** There are no managed plugins: none are listed, and none is found. */
const ASKING: readonly string[] = ["plugin inspect", "plugin ls"];

export const isRefused = (command: string): boolean => !ASKING.includes(command) && REFUSED_GROUPS.includes(command.split(" ")[0] as string);
