/**
 * What a client may ask of a container: Docker's Config, HostConfig and NetworkingConfig. These tables are the only
 * description of them. Types, decoding, zero values, inspect's printing and docs/compatibility.md follow from them.
 */
import { parseAddress, parseHardwareAddress, parsePort } from "../lib/address.ts";
import { bool, embed, field, fieldsOf, goInt, goUint, int64, list, map, named, nullable, string, struct, text, tuple, uint16, uint32, uint64, zero } from "../lib/schema.ts";
import type { Field, Infer, Schema, Support } from "../lib/schema.ts";

const support = (status: Support["status"]) => <T>(schema: Schema<T>, note = "", options: { omitEmpty?: boolean } = {}): Field<T> => field(schema, { ...options, support: { status, note } });
const done = support("done");
const partly = support("partly");
const refused = support("refused");
const noMeaning = support("no meaning");
const omitEmpty = { omitEmpty: true };

const address = text("netip.Addr", parseAddress);
const hardwareAddress = text("network.HardwareAddr", parseHardwareAddress);
const nothing = struct("struct {}", {});
const port = { go: "network.Port", parse: parsePort };
const portSet = map(nothing, port);

/** Durations are in nanoseconds. */
export const healthcheckSchema = struct("v1.HealthcheckConfig", {
  Test: done(list(string), "a CMD-SHELL that is an http:// or tcp:// URL is probed without a program, see docs/containers.md", omitEmpty),
  Interval: done(named("time.Duration", int64), "", omitEmpty),
  Timeout: done(named("time.Duration", int64), "", omitEmpty),
  StartPeriod: done(named("time.Duration", int64), "", omitEmpty),
  StartInterval: done(named("time.Duration", int64), "", omitEmpty),
  Retries: done(goInt, "", omitEmpty),
});
export type HealthcheckConfig = Infer<typeof healthcheckSchema>;

export const configSchema = struct("Config", {
  Hostname: done(string),
  Domainname: done(string),
  User: done(string),
  AttachStdin: done(bool),
  AttachStdout: done(bool),
  AttachStderr: done(bool),
  ExposedPorts: done(portSet, "", omitEmpty),
  Tty: done(bool),
  OpenStdin: done(bool),
  StdinOnce: done(bool),
  Env: done(list(string)),
  Cmd: done(list(string)),
  Healthcheck: done(nullable(healthcheckSchema), "", omitEmpty),
  ArgsEscaped: noMeaning(bool, "Windows", omitEmpty),
  Image: done(string),
  Volumes: done(map(nothing)),
  WorkingDir: done(string),
  Entrypoint: done(list(string)),
  NetworkDisabled: done(bool, "", omitEmpty),
  OnBuild: noMeaning(list(string), "for builds", omitEmpty),
  Labels: done(map(string)),
  StopSignal: done(string, "", omitEmpty),
  StopTimeout: done(nullable(goInt), "", omitEmpty),
  Shell: done(list(string), "of health checks", omitEmpty),
});
export type ContainerConfig = Infer<typeof configSchema>;

const weightDevice = struct("blkiodev.WeightDevice", { Path: done(string), Weight: done(uint16) });
const throttleDevice = struct("blkiodev.ThrottleDevice", { Path: done(string), Rate: done(uint64) });
const deviceMapping = struct("container.DeviceMapping", { PathOnHost: done(string), PathInContainer: done(string), CgroupPermissions: done(string) });
const deviceRequest = struct("container.DeviceRequest", {
  Driver: done(string, "cdi, nvidia, amd, or by the capability gpu"),
  Count: done(goInt),
  DeviceIDs: done(list(string)),
  Capabilities: done(list(list(string))),
  Options: refused(map(string), "refused by name"),
});
const ulimit = struct("units.Ulimit", { Name: done(string), Hard: done(int64), Soft: done(int64) });
export type Ulimit = Infer<typeof ulimit>;
export type DeviceMapping = Infer<typeof deviceMapping>;

/** What `update` may change, too. Bytes, nanoseconds of a CPU, microseconds for periods and quotas. */
export const resourcesSchema = struct("Resources", {
  CpuShares: done(int64),
  Memory: done(int64),
  NanoCpus: done(int64),
  CgroupParent: done(string),
  BlkioWeight: done(uint16),
  BlkioWeightDevice: done(list(nullable(weightDevice))),
  BlkioDeviceReadBps: done(list(nullable(throttleDevice))),
  BlkioDeviceWriteBps: done(list(nullable(throttleDevice))),
  BlkioDeviceReadIOps: done(list(nullable(throttleDevice))),
  BlkioDeviceWriteIOps: done(list(nullable(throttleDevice))),
  CpuPeriod: done(int64),
  CpuQuota: done(int64),
  CpuRealtimePeriod: done(int64),
  CpuRealtimeRuntime: done(int64),
  CpusetCpus: done(string),
  CpusetMems: done(string),
  Devices: done(list(deviceMapping)),
  DeviceCgroupRules: done(list(string)),
  DeviceRequests: done(list(deviceRequest), "devices of the Container Device Interface; GPUs by it as well"),
  MemoryReservation: done(int64),
  MemorySwap: done(int64),
  MemorySwappiness: done(nullable(int64)),
  OomKillDisable: done(nullable(bool)),
  PidsLimit: done(nullable(int64)),
  Ulimits: done(list(nullable(ulimit))),
  CpuCount: noMeaning(int64, "Windows"),
  CpuPercent: noMeaning(int64, "Windows"),
  IOMaximumIOps: noMeaning(uint64, "Windows; refused, as Docker does"),
  IOMaximumBandwidth: noMeaning(uint64, "Windows; refused, as Docker does"),
});
export type Resources = Infer<typeof resourcesSchema>;

const restartPolicySchema = struct("container.RestartPolicy", { Name: done(named("container.RestartPolicyMode", string)), MaximumRetryCount: done(goInt) });
export type RestartPolicy = Infer<typeof restartPolicySchema>;

const mountSchema = struct("mount.Mount", {
  Type: partly(named("mount.Type", string), "bind, tmpfs, volume and image; cluster is refused", omitEmpty),
  Source: done(string, "", omitEmpty),
  Target: done(string, "", omitEmpty),
  ReadOnly: done(bool, "", omitEmpty),
  Consistency: noMeaning(named("mount.Consistency", string), "macOS", omitEmpty),
  BindOptions: done(
    nullable(
      struct("mount.BindOptions", {
        Propagation: done(named("mount.Propagation", string), "", omitEmpty),
        NonRecursive: done(bool, "", omitEmpty),
        CreateMountpoint: done(bool, "", omitEmpty),
        ReadOnlyNonRecursive: done(bool, "", omitEmpty),
        ReadOnlyForceRecursive: done(bool, "", omitEmpty),
      }),
    ),
    "",
    omitEmpty,
  ),
  VolumeOptions: done(
    nullable(
      struct("mount.VolumeOptions", {
        NoCopy: done(bool, "", omitEmpty),
        Labels: done(map(string), "", omitEmpty),
        Subpath: done(string, "", omitEmpty),
        DriverConfig: done(nullable(struct("mount.Driver", { Name: partly(string, "local, and plugins of the legacy protocol; no managed ones", omitEmpty), Options: partly(map(string), "type, device, o, and size where the file system has project quotas", omitEmpty) })), "", omitEmpty),
      }),
    ),
    "",
    omitEmpty,
  ),
  ImageOptions: done(nullable(struct("mount.ImageOptions", { Subpath: done(string, "", omitEmpty) })), "", omitEmpty),
  TmpfsOptions: done(
    nullable(
      struct("mount.TmpfsOptions", {
        SizeBytes: done(int64, "", omitEmpty),
        Mode: done(named("fs.FileMode", uint32), "", omitEmpty),
        Options: done(list(list(string)), "", omitEmpty),
      }),
    ),
    "",
    omitEmpty,
  ),
  ClusterOptions: refused(nullable(struct("mount.ClusterOptions", {})), "cluster volumes are not there", omitEmpty),
});
export type Mount = Infer<typeof mountSchema>;

const portBinding = struct("network.PortBinding", { HostIp: partly(address, "containers that name an address of a family which they have not are refused at their start"), HostPort: done(string) });
export type PortBinding = Infer<typeof portBinding>;

export const hostConfigSchema = struct("HostConfig", {
  Binds: done(list(string)),
  ContainerIDFile: noMeaning(string, "the client's; kept and shown"),
  LogConfig: partly(
    struct("container.LogConfig", {
      Type: partly(string, "all of Docker's (local in the format of json-file), and no plugins"),
      Config: partly(map(string), "all; a container never waits for its log server, mode and max-buffer-size say how much waits: docs/logging.md; without max-size the daemon's --log-limit holds"),
    }),
    "all of Docker's drivers, and no plugins",
  ),
  NetworkMode: partly(named("container.NetworkMode", string), "bridge, host, none, container:ID and user-defined networks: bridge, macvlan, ipvlan"),
  PortBindings: partly(map(list(portBinding), port), "an empty HostIp is every address of the families that the container has, as with Docker's userland-proxy off"),
  RestartPolicy: done(restartPolicySchema),
  AutoRemove: done(bool),
  VolumeDriver: partly(string, "local, and plugins of the legacy protocol; no managed ones"),
  VolumesFrom: done(list(string)),
  ConsoleSize: done(tuple(goUint, 2)),
  Annotations: done(map(string), "gantry.restart-unhealthy=true restarts the container when it is unhealthy", omitEmpty),
  CapAdd: done(list(string)),
  CapDrop: done(list(string)),
  CgroupnsMode: done(named("container.CgroupnsMode", string)),
  Dns: done(list(address)),
  DnsOptions: done(list(string)),
  DnsSearch: done(list(string)),
  /** Gantry's own: what the container may reach, as src/lib/egress.ts reads it. Empty: everything. */
  Egress: done(list(string), "Gantry's own: allow=HOST[:PORT]; see docs/networking.md", omitEmpty),
  ExtraHosts: done(list(string)),
  GroupAdd: done(list(string)),
  IpcMode: done(named("container.IpcMode", string)),
  Cgroup: refused(named("container.CgroupSpec", string), "refused at the start"),
  Links: partly(list(string), "hosts entries; with enable_icc=false they open no ports"),
  OomScoreAdj: done(goInt),
  PidMode: done(named("container.PidMode", string)),
  Privileged: done(bool),
  PublishAllPorts: done(bool),
  ReadonlyRootfs: done(bool),
  SecurityOpt: partly(list(string), "no-new-privileges, seccomp, writable-cgroups, label=disable, AppArmor profiles where the kernel has it; other labels are refused at the start"),
  StorageOpt: partly(map(string), "size, where the file system of the data root has project quotas (XFS with pquota, ext4 with prjquota) or is btrfs with its own driver, and with devicemapper and zfs; elsewhere refused at the start", omitEmpty),
  Tmpfs: done(map(string), "", omitEmpty),
  UTSMode: done(named("container.UTSMode", string)),
  UsernsMode: done(named("container.UsernsMode", string)),
  ShmSize: done(int64),
  Sysctls: done(map(string), "", omitEmpty),
  Runtime: done(string, "the engine's own (also under the name runc), and those of --add-runtime and runtimes", omitEmpty),
  Isolation: noMeaning(named("container.Isolation", string), "Windows; other values than default are refused, as Docker does"),
  ...embed("Resources", fieldsOf(resourcesSchema)),
  Mounts: partly(list(mountSchema), "bind, tmpfs, volume and image", omitEmpty),
  MaskedPaths: done(list(string)),
  ReadonlyPaths: done(list(string)),
  Init: done(nullable(bool), "", omitEmpty),
});
export type HostConfig = Infer<typeof hostConfigSchema>;

export const endpointSettingsSchema = struct("network.EndpointSettings", {
  IPAMConfig: done(
    nullable(
      struct("network.EndpointIPAMConfig", {
        IPv4Address: done(address, "", omitEmpty),
        IPv6Address: done(address, "", omitEmpty),
        LinkLocalIPs: refused(list(address), "refused at the start", omitEmpty),
      }),
    ),
  ),
  Links: done(list(string)),
  Aliases: done(list(string)),
  DriverOpts: done(map(string), "com.docker.network.endpoint.sysctls and .ifname"),
  GwPriority: done(goInt),
  NetworkID: done(string),
  EndpointID: done(string),
  Gateway: done(address),
  IPAddress: done(address),
  MacAddress: done(hardwareAddress),
  IPPrefixLen: done(goInt),
  IPv6Gateway: done(address),
  GlobalIPv6Address: done(address),
  GlobalIPv6PrefixLen: done(goInt),
  DNSNames: done(list(string)),
});
export type EndpointSettings = Infer<typeof endpointSettingsSchema>;

export const networkingConfigSchema = struct("network.NetworkingConfig", {
  EndpointsConfig: done(map(nullable(endpointSettingsSchema))),
});
export type NetworkingConfig = Infer<typeof networkingConfigSchema>;

/** The body of POST /containers/create. */
export const createRequestSchema = struct("CreateRequest", {
  ...embed("Config", fieldsOf(configSchema)),
  HostConfig: field(nullable(hostConfigSchema)),
  NetworkingConfig: field(nullable(networkingConfigSchema)),
});
export type CreateRequest = Infer<typeof createRequestSchema>;

/** The body of POST /containers/{name}/update. */
export const updateRequestSchema = struct("container.UpdateConfig", {
  ...embed("Resources", fieldsOf(resourcesSchema)),
  RestartPolicy: done(restartPolicySchema),
  /** Gantry's own, as PortBindings: ports that are published from now on. */
  PublishAdd: done(map(list(portBinding), port)),
  /** Gantry's own: bindings that end; one without a host port, or none for a port, stands for all of that port. */
  PublishRemove: done(map(list(portBinding), port)),
  /** Gantry's own: labels and variables (NAME=VALUE, and names alone to remove). Programs that run keep theirs. */
  LabelAdd: done(map(string)),
  LabelRemove: done(list(string)),
  EnvAdd: done(list(string)),
  EnvRemove: done(list(string)),
  /** Gantry's own: options of the log driver, and names alone to remove. */
  LogOptAdd: done(map(string)),
  LogOptRemove: done(list(string)),
  /** Gantry's own: binds and volumes that come into the container, and destinations that go. */
  MountAdd: done(list(mountSchema)),
  MountRemove: done(list(string)),
  /** Gantry's own: devices that come into the container, and paths in it of those that go. */
  DeviceAdd: done(list(deviceMapping)),
  DeviceRemove: done(list(string)),
});
export type UpdateRequest = Infer<typeof updateRequestSchema>;

export const emptyConfig = (): ContainerConfig => zero(configSchema);
export const emptyHostConfig = (): HostConfig => zero(hostConfigSchema);
