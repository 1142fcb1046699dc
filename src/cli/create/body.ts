/** The body of POST /containers/create, from the flags of `run` and `create`. */
import fs from "node:fs";
import type { FlagValues } from "../../lib/flags.ts";
import { messageOf } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import { parseRamSize } from "../../lib/units.ts";
import { parseDeviceLimit, parseExtraHost } from "./checks.ts";
import { isCdiDevice, parseDevice } from "./devices.ts";
import { parseGpuRequest } from "./gpus.ts";
import { healthCheck } from "./health.ts";
import { openError } from "../open-error.ts";
import { keyValues, readKeyValueFiles, withOwnValue } from "./key-values.ts";
import { parseMount, splitVolumes, tmpfsMap } from "./mounts.ts";
import { macAddress, networkConfig } from "./networks.ts";
import { nanoCpus } from "./numbers.ts";
import { parsePorts } from "./ports.ts";
import { ulimitList } from "./ulimits.ts";

export interface CreateBody {
  AttachStdin: boolean;
  AttachStdout: boolean;
  AttachStderr: boolean;
  Tty: boolean;
  OpenStdin: boolean;
  StdinOnce: boolean;
  Env: string[] | null;
  Image: string;
  HostConfig: { AutoRemove: boolean; ContainerIDFile: string; ConsoleSize: [number, number]; [field: string]: unknown };
  NetworkingConfig: { EndpointsConfig: Record<string, unknown> };
  [field: string]: unknown;
}

/** Nothing becomes null, as Go's nil slices do. */
const orNull = <T>(list: T[]): T[] | null => (list.length > 0 ? list : null);
const optional = <T>(name: string, value: T, present: boolean): Record<string, T> => (present ? { [name]: value } : {});

/** `addProxies` completes the environment. Throws an Error with Docker's words. */
export function createBody(flags: FlagValues, args: string[], addProxies: (given: string[]) => string[] = (given) => given): CreateBody {
  if (flags.string("mac-address") !== "") macAddress(flags.string("mac-address"));
  const swappiness = flags.int("memory-swappiness");
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  const volumes = splitVolumes(flags.list("volume"));
  const ports = parsePorts(flags.list("publish"), flags.list("expose"));
  const devices = deviceLists(flags);
  const environment = prefixed("--env-file", () => [...readKeyValueFiles(flags.list("env-file"), { environment: true }), ...addProxies(flags.list("env").map(withOwnValue))]);
  const labels = prefixed("--label-file", () => [...readKeyValueFiles(flags.list("label-file"), { environment: false }), ...flags.list("label")]);
  checkModes(flags);
  const restart = restartPolicy(flags.string("restart"));
  const security = securityOptions(flags.list("security-opt"));
  const storage = storageOptions(flags.list("storage-opt"));
  const health = healthCheck(flags);
  const standard = streams(flags);
  if (flags.bool("rm") && restart.Name !== "no" && restart.Name !== "") throw new Error("conflicting options: cannot specify both --restart and --rm");
  const network = networkConfig(flags);
  const annotations = { ...keyValues(flags.list("annotation")), ...optional("gantry.restart-unhealthy", "true", flags.bool("restart-unhealthy")) };
  const tmpfs = tmpfsMap(flags.list("tmpfs"));
  return {
    Hostname: flags.string("hostname"),
    Domainname: flags.string("domainname"),
    User: flags.string("user"),
    ...standard,
    ...optional("ExposedPorts", ports.exposed, Object.keys(ports.exposed).length > 0),
    Env: orNull(environment),
    Cmd: orNull(args.slice(1)),
    ...optional("Healthcheck", health, health !== undefined),
    Image: args[0] ?? "",
    Volumes: volumes.volumes,
    WorkingDir: flags.string("workdir"),
    Entrypoint: flags.changed("entrypoint") ? [flags.string("entrypoint")] : null,
    Labels: keyValues(labels),
    ...optional("StopSignal", flags.string("stop-signal"), flags.string("stop-signal") !== ""),
    ...optional("StopTimeout", flags.int("stop-timeout"), flags.changed("stop-timeout")),
    HostConfig: {
      Binds: orNull(volumes.binds),
      ContainerIDFile: flags.string("cidfile"),
      LogConfig: { Type: flags.string("log-driver"), Config: logOptions(flags) },
      NetworkMode: network.mode,
      PortBindings: ports.bindings,
      RestartPolicy: restart,
      AutoRemove: flags.bool("rm"),
      VolumeDriver: flags.string("volume-driver"),
      VolumesFrom: orNull(flags.list("volumes-from")),
      ConsoleSize: [0, 0],
      ...optional("Annotations", annotations, Object.keys(annotations).length > 0 || flags.changed("annotation")),
      CapAdd: orNull(flags.list("cap-add")),
      CapDrop: orNull(flags.list("cap-drop")),
      CgroupnsMode: flags.string("cgroupns"),
      Dns: flags.list("dns").map(canonicalIp),
      DnsOptions: [...flags.list("dns-opt"), ...flags.list("dns-option")],
      DnsSearch: flags.list("dns-search").map((domain) => domain.trim()),
      ...optional("Egress", flags.list("egress"), flags.changed("egress")),
      ExtraHosts: orNull(flags.list("add-host").map(parseExtraHost)),
      GroupAdd: orNull(flags.list("group-add")),
      IpcMode: flags.string("ipc"),
      Links: orNull(flags.list("link")),
      OomScoreAdj: flags.int("oom-score-adj"),
      PidMode: flags.string("pid"),
      Privileged: flags.bool("privileged"),
      PublishAllPorts: flags.bool("publish-all"),
      ReadonlyRootfs: flags.bool("read-only"),
      ...security,
      ...optional("StorageOpt", storage, Object.keys(storage).length > 0),
      ...optional("Tmpfs", tmpfs, Object.keys(tmpfs).length > 0),
      UTSMode: flags.string("uts"),
      UsernsMode: flags.string("userns"),
      ShmSize: bytes(flags, "shm-size"),
      ...optional("Sysctls", keyValues(flags.list("sysctl")), flags.changed("sysctl")),
      ...optional("Runtime", flags.string("runtime"), flags.string("runtime") !== ""),
      Isolation: flags.string("isolation"),
      ...resources(flags),
      ...devices,
      ...optional("Mounts", flags.list("mount").map(parseMount), flags.changed("mount")),
      ...optional("Init", flags.changed("init") && flags.bool("init"), flags.changed("init")),
    },
    NetworkingConfig: { EndpointsConfig: network.endpoints },
  };
}

function prefixed<T>(flag: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw new Error(`${flag}: ${messageOf(thrown)}`);
  }
}

function streams(flags: FlagValues): Pick<CreateBody, "AttachStdin" | "AttachStdout" | "AttachStderr" | "Tty" | "OpenStdin" | "StdinOnce"> {
  const asked = new Set(flags.list("attach").map((name) => name.toLowerCase()));
  const open = flags.bool("interactive");
  return {
    AttachStdin: open || asked.has("stdin"),
    AttachStdout: asked.size === 0 || asked.has("stdout"),
    AttachStderr: asked.size === 0 || asked.has("stderr"),
    Tty: flags.bool("tty"),
    OpenStdin: open,
    StdinOnce: open,
  };
}

function bytes(flags: FlagValues, name: string): number {
  const text = flags.string(name);
  return text === "-1" ? -1 : parseRamSize(text);
}

const canonicalIp = (text: string): string => {
  const address = parseIp(text.trim());
  return address ? formatIp(address) : text;
};

function resources(flags: FlagValues): Record<string, unknown> {
  const limits = (name: string, kind: "bytes" | "operations"): { Path: string; Rate: number }[] => flags.list(name).map((text) => parseDeviceLimit(text, kind)).map(({ Path, value }) => ({ Path, Rate: value }));
  return {
    CpuShares: flags.int("cpu-shares"),
    Memory: bytes(flags, "memory"),
    NanoCpus: flags.changed("cpus") ? nanoCpus(flags.string("cpus")) : 0,
    CgroupParent: flags.string("cgroup-parent"),
    BlkioWeight: flags.int("blkio-weight"),
    BlkioWeightDevice: flags.list("blkio-weight-device").map((text) => parseDeviceLimit(text, "weight")).map(({ Path, value }) => ({ Path, Weight: value })),
    BlkioDeviceReadBps: limits("device-read-bps", "bytes"),
    BlkioDeviceWriteBps: limits("device-write-bps", "bytes"),
    BlkioDeviceReadIOps: limits("device-read-iops", "operations"),
    BlkioDeviceWriteIOps: limits("device-write-iops", "operations"),
    CpuPeriod: flags.int("cpu-period"),
    CpuQuota: flags.int("cpu-quota"),
    CpuRealtimePeriod: flags.int("cpu-rt-period"),
    CpuRealtimeRuntime: flags.int("cpu-rt-runtime"),
    CpusetCpus: flags.string("cpuset-cpus"),
    CpusetMems: flags.string("cpuset-mems"),
    DeviceCgroupRules: orNull(flags.list("device-cgroup-rule")),
    MemoryReservation: bytes(flags, "memory-reservation"),
    MemorySwap: bytes(flags, "memory-swap"),
    MemorySwappiness: flags.int("memory-swappiness"),
    OomKillDisable: flags.bool("oom-kill-disable"),
    PidsLimit: flags.int("pids-limit"),
    Ulimits: ulimitList(flags.list("ulimit")),
    CpuCount: flags.int("cpu-count"),
    CpuPercent: flags.int("cpu-percent"),
    IOMaximumIOps: flags.int("io-maxiops"),
    IOMaximumBandwidth: bytes(flags, "io-maxbandwidth"),
  };
}

function deviceLists(flags: FlagValues): { Devices: unknown[]; DeviceRequests: unknown[] | null } {
  const devices = flags.list("device");
  const requests: unknown[] = flags.list("gpus").slice(-1).map(parseGpuRequest);
  const cdi = devices.filter(isCdiDevice);
  if (cdi.length > 0) requests.push({ Driver: "cdi", Count: 0, DeviceIDs: cdi, Capabilities: null, Options: null });
  return { Devices: devices.filter((device) => !isCdiDevice(device)).map(parseDevice), DeviceRequests: orNull(requests) };
}

function checkModes(flags: FlagValues): void {
  const rules: [string, string, RegExp][] = [
    ["pid", "PID", /^(|private|host|container:.+)$/],
    ["uts", "UTS", /^(|private|host)$/],
    ["userns", "USER", /^(|private|host)$/],
    ["cgroupns", "CGROUP", /^(|private|host)$/],
  ];
  for (const [name, shown, allowed] of rules) if (!allowed.test(flags.string(name))) throw new Error(`--${name}: invalid ${shown} mode`);
}

export function restartPolicy(text: string): { Name: string; MaximumRetryCount: number } {
  if (text === "") return { Name: "", MaximumRetryCount: 0 };
  const colon = text.indexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const count = colon < 0 ? "" : text.slice(colon + 1);
  if (colon >= 0 && name === "") throw new Error("invalid restart policy format: no policy provided before colon");
  if (count !== "" && !/^[+-]?\d+$/.test(count)) throw new Error("invalid restart policy format: maximum retry count must be an integer");
  return { Name: name, MaximumRetryCount: Number(count) };
}

function logOptions(flags: FlagValues): Record<string, string> {
  const options = flags.list("log-opt");
  if (flags.string("log-driver") === "none" && options.length > 0) throw new Error("invalid logging opts for driver none");
  return keyValues(options);
}

/** A seccomp profile is a file here and its content there; `systempaths=unconfined` is the client's own word for no masked paths. */
function securityOptions(given: string[]): Record<string, unknown> {
  const options = given.map(securityOption);
  const open = options.includes("systempaths=unconfined");
  return { SecurityOpt: orNull(options.filter((option) => option !== "systempaths=unconfined")), MaskedPaths: open ? [] : null, ReadonlyPaths: open ? [] : null };
}

function securityOption(option: string): string {
  const separator = option.includes("=") ? "=" : ":";
  const at = option.indexOf(separator);
  const key = at < 0 ? option : option.slice(0, at);
  const value = at < 0 ? "" : option.slice(at + 1);
  if (value === "" && key !== "no-new-privileges") throw new Error(`invalid --security-opt: ${JSON.stringify(option)}`);
  if (key !== "seccomp" || value === "builtin" || value === "unconfined") return option;
  let text: string;
  try {
    text = fs.readFileSync(value, "utf8");
  } catch (thrown) {
    throw new Error(`opening seccomp profile (${value}) failed: ${openError(value, thrown).message}`);
  }
  try {
    return `seccomp=${JSON.stringify(JSON.parse(text))}`;
  } catch (thrown) {
    throw new Error(`compacting json for seccomp profile (${value}) failed: ${messageOf(thrown)}`);
  }
}

function storageOptions(options: string[]): Record<string, string> {
  if (options.some((option) => !option.includes("="))) throw new Error("invalid storage option");
  return keyValues(options);
}
