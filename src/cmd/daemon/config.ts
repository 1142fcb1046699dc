/** The daemon's configuration: from the command line and daemon.json to checked settings. */
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import type { BuilderVersion } from "../../api/system/routes.ts";
import { checkMinimumVersion, MIN_API_VERSION } from "../../api/versions.ts";
import { LOG_DRIVERS } from "../../core/log.ts";
import { validateLogConfig } from "../../engine/containers/validate/log-config.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { type FlagSpec, FlagValues, type ParsedLine, parseFlags } from "../../lib/flags.ts";
import { parseDuration } from "../../lib/strconv.ts";
import { parseRamSize } from "../../lib/units.ts";
import { hostsOf, tlsOf, type TlsConfig } from "./config-listen.ts";
import { checkConflicts, type FileValues, flagTexts, readConfigFile } from "./config-file.ts";
import { isLogLevel, type LogSettings } from "./logger.ts";
import type { NetworkFlags } from "../networks.ts";
import { networkOf } from "./network-settings.ts";
import { type Host, parseFeature, parseScopedSocket, parseUlimit, type ScopedSocket, type Ulimit } from "./option-values.ts";
import type { HostSettings } from "../../registry/hosts/hosts.ts";
import { parseInsecure } from "../../registry/hosts/insecure.ts";
import { parseMirror } from "../../registry/hosts/mirror.ts";
import { checkProxy, overriddenVariables, proxySettings, type ProxySettings } from "../../lib/proxy.ts";
import { DAEMON_OPTIONS, DEFAULT_CONFIG_FILE, DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, type DaemonOption } from "./options.ts";
import { checkDefaultRuntime, configuredRuntimes, type ConfiguredRuntime } from "./runtimes.ts";

export interface DaemonConfig {
  configFile: string;
  dataRoot: string;
  execRoot: string;
  builderVersion: BuilderVersion;
  /** As they were given. */
  features: Record<string, boolean>;
  /** False when the pid file is the default one, which belongs to whoever holds the data root. */
  pidfileChosen: boolean;
  pidfile: string;
  hosts: Host[];
  sockets: ScopedSocket[];
  group: { name: string; chosen: boolean };
  tls: TlsConfig | undefined;
  /** TLS was switched off by name: serving TCP to anyone is meant. */
  tlsRefused: boolean;
  allowedHosts: string[];
  /** Plugins that are asked about every request, in this order. */
  authorizationPlugins: string[];
  log: LogSettings;
  debug: boolean;
  events: { maxBytes: number; maxAgeMilliseconds: number };
  experimental: boolean;
  /** "": none are served. */
  metricsAddress: string;
  labels: string[];
  minimumApiVersion: string;
  storage: { driver: string; options: string[] };
  registries: RegistryConfig;
  network: NetworkFlags;
  containers: ContainerDefaults;
  shutdownTimeoutSeconds: number;
  /** Containers run on when the daemon is ended by a signal; however it dies otherwise, they do. */
  liveRestore: boolean;
  /** 0: never. */
  idleExitSeconds: number;
  /** For the log: what was asked for in vain. */
  warnings: string[];
}


export interface RegistryConfig {
  hosts: HostSettings;
  proxies: ProxySettings;
  concurrentDownloads: number;
  concurrentUploads: number;
  downloadAttempts: number;
}

export interface ContainerDefaults {
  /** The name of the default one. */
  runtime: string;
  /** Others than our own. */
  runtimes: ReadonlyMap<string, ConfiguredRuntime>;
  init: boolean;
  /** "" for our own. */
  initPath: string;
  shmSize: number;
  ulimits: Ulimit[];
  /** Undefined: as the machine's cgroup version has it. */
  cgroupnsMode: "host" | "private" | undefined;
  ipcMode: "shareable" | "private";
  cgroupParent: string;
  /** Who makes containers' cgroups. */
  cgroupDriver: "cgroupfs" | "systemd";
  /** In microseconds; 0: containers get none. */
  realtime: { period: number; runtime: number };
  noNewPrivileges: boolean;
  seccompProfile: string;
  stopTimeoutSeconds: number;
  /** Processes and threads of containers that say nothing of them; 0: any number. */
  pidsLimit: number;
  /** Of a log without a limit of its own; 0: any. */
  logBytes: number;
  log: { driver: string; options: Record<string, string> };
  /** Folders of the Container Device Interface; none: it is switched off. */
  cdiSpecDirs: string[];
  /** --userns-remap; "" for the host's ids. */
  usersRemap: string;
}

/** The grammar of gantryd's command line. */
export const DAEMON_FLAGS: readonly FlagSpec[] = DAEMON_OPTIONS.filter(({ flag }) => flag !== "").map((option) => specOf(option, option.flag));
const ALL_OPTIONS = new Map(DAEMON_OPTIONS.map((option) => [nameOf(option), specOf(option, nameOf(option))]));

function nameOf(option: DaemonOption): string {
  return option.flag === "" ? option.key : option.flag;
}

function specOf(option: DaemonOption, name: string): FlagSpec {
  const { type, shorthand, default: initial, deprecated } = option;
  return { name, type, ...(shorthand === undefined ? {} : { shorthand }), ...(initial === undefined ? {} : { default: initial }), ...(deprecated === undefined ? {} : { deprecated }) };
}

/** Reads the command line of gantryd. Throws with pflag's words. */
export function parseCommandLine(args: readonly string[]): ParsedLine {
  const line = parseFlags(DAEMON_FLAGS, args);
  if (line.args.length > 0) throw invalidParameter('"gantryd" accepts no argument(s).');
  return line;
}

/** The settings of a command line and the file that it names. Throws "invalid-parameter" that says what is wrong. */
export function loadConfig(flags: FlagValues, environment: NodeJS.ProcessEnv): DaemonConfig {
  const configFile = flags.string("config-file");
  let values: FlagValues;
  try {
    values = merged(flags, fileOf(configFile, flags.changed("config-file")));
  } catch (cause) {
    throw invalidParameter(`unable to configure the Docker daemon with file ${configFile}: ${messageOf(cause)}`, cause);
  }
  refuseUnsupported(values);
  return settings(values, configFile, environment);
}

function fileOf(path: string, chosen: boolean): FileValues {
  if (path === "") return new Map();
  const file = readConfigFile(path);
  if (file === undefined && chosen) throw invalidParameter(`open ${path}: no such file or directory`);
  return file ?? new Map();
}

function merged(flags: FlagValues, file: FileValues): FlagValues {
  checkConflicts(file, flags);
  const values = new FlagValues(ALL_OPTIONS);
  for (const name of flags.said()) for (const text of ALL_OPTIONS.get(name)?.type.repeated === true ? flags.list(name) : [flags.string(name)]) values.set(name, text);
  for (const [key, value] of file) {
    const option = DAEMON_OPTIONS.find((candidate) => candidate.key === key) as DaemonOption;
    const texts = flagTexts(option, value);
    for (const text of texts) values.set(nameOf(option), text);
    if (texts.length === 0 && value !== null) values.setEmpty(nameOf(option));
  }
  return values;
}

/** Naming an unsupported option is fine only when it says what is the case anyway. */
function refuseUnsupported(values: FlagValues): void {
  for (const option of DAEMON_OPTIONS) {
    if (option.support === "done" || option.support === "moot" || !isUnusual(values, option)) continue;
    const name = nameOf(option);
    const label = option.flag === "" ? `"${option.key}"` : `--${option.flag}`;
    throw invalidParameter(option.support === "implied" ? `${label}=${values.string(name)} is not supported: it is always ${String(option.default)}` : `${label} is not supported yet`);
  }
}

/** It was given, and says something else than what is the case without it. */
function isUnusual(values: FlagValues, option: DaemonOption): boolean {
  const name = nameOf(option);
  if (!values.changed(name)) return false;
  if (option.type.repeated === true) return values.list(name).length > 0;
  const usual = option.default ?? option.type.default;
  return values.string(name) !== usual && !(option.type.bare === "true" && values.bool(name) === (usual === "true"));
}

const saidOf = (values: FlagValues, option: DaemonOption): string => (option.type.repeated === true ? values.list(nameOf(option)).join(",") : values.string(nameOf(option)));

/** What was asked for and has no effect here, a sentence each. */
function mootOptions(values: FlagValues): string[] {
  const features = values.list("feature").map(parseFeature).filter(({ hasEffect }) => !hasEffect).map(({ name }) => `the feature ${name} has no effect: gantryd works without`);
  const flags = DAEMON_OPTIONS.filter((option) => option.support === "moot" && isUnusual(values, option)).map((option) => `${option.flag === "" ? option.key : `--${option.flag}`}=${saidOf(values, option)} has no effect: gantryd works without`);
  return [...flags, ...features];
}

function settings(values: FlagValues, configFile: string, environment: NodeJS.ProcessEnv): DaemonConfig {
  const dataRoot = resolve(values.string("data-root"));
  const execRoot = resolve(values.string("exec-root") || defaultExecRoot(dataRoot));
  const pidfile = values.string("pidfile");
  const tls = tlsOf(values, environment);
  return {
    configFile,
    dataRoot,
    execRoot,
    features: Object.fromEntries(values.list("feature").map(parseFeature).map(({ name, enabled }) => [name, enabled])),
    builderVersion: isOff(values, "buildkit") ? "1" : "2",
    pidfileChosen: pidfile !== "",
    pidfile: pidfile === "" ? join(execRoot, "gantryd.pid") : resolve(pidfile),
    hosts: hostsOf(values, tls !== undefined),
    sockets: values.list("socket").map(parseScopedSocket),
    group: { name: values.string("group"), chosen: values.changed("group") },
    tls,
    tlsRefused: values.changed("tls") && !values.bool("tls"),
    allowedHosts: values.list("allowed-host"),
    authorizationPlugins: [...new Set(values.list("authorization-plugin"))],
    log: logOf(values),
    debug: values.bool("debug"),
    events: { maxBytes: parseRamSize(values.string("events-max-size")) ?? 0, maxAgeMilliseconds: parseDuration(values.string("events-max-age")) / 1_000_000 },
    experimental: values.bool("experimental"),
    metricsAddress: values.string("metrics-addr"),
    labels: labelsOf(values.list("label")),
    minimumApiVersion: minimumOf(values, environment),
    storage: { driver: values.string("storage-driver"), options: values.list("storage-opt") },
    registries: registriesOf(values, { configFile, environment }),
    network: networkOf(values),
    containers: containersOf(values),
    shutdownTimeoutSeconds: nonNegative(values, "shutdown-timeout"),
    liveRestore: values.bool("live-restore"),
    idleExitSeconds: nonNegative(values, "idle-exit"),
    warnings: [...mootOptions(values), ...overriddenVariables(environment, proxiesOf(values)).map((name) => `overriding existing proxy variable with value from configuration: ${name}`)],
  };
}

/** Each data root has its own, so that a second daemon does not take the first one's containers for leftovers. */
function defaultExecRoot(dataRoot: string): string {
  if (dataRoot === DEFAULT_DATA_ROOT) return DEFAULT_EXEC_ROOT;
  return `${DEFAULT_EXEC_ROOT}-${createHash("sha256").update(dataRoot).digest("hex").slice(0, 12)}`;
}

function logOf(values: FlagValues): LogSettings {
  const level = values.string("log-level").toLowerCase();
  if (!isLogLevel(level)) throw invalidParameter(`invalid logging level: ${values.string("log-level")}`);
  const format = values.string("log-format");
  if (format !== "text" && format !== "json") throw invalidParameter(`invalid log format: ${format}`);
  return { level: values.bool("debug") ? "debug" : level, format };
}

/** Throws when a key has two values. */
function labelsOf(labels: string[]): string[] {
  const found = new Map<string, string>();
  for (const label of labels) {
    const [key = "", value = ""] = splitOnce(label);
    const other = found.get(key);
    if (other !== undefined && other !== value) throw invalidParameter(`conflict labels for ${key}=${value} and ${key}=${other}`);
    found.set(key, value);
  }
  return [...found].map(([key, value]) => `${key}=${value}`);
}

function minimumOf(values: FlagValues, environment: NodeJS.ProcessEnv): string {
  const fromEnvironment = environment["DOCKER_MIN_API_VERSION"] ?? "";
  const text = values.string("min-api-version") || fromEnvironment;
  if (text === "") return MIN_API_VERSION;
  try {
    checkMinimumVersion(text);
  } catch (cause) {
    throw invalidParameter(`invalid ${text === fromEnvironment ? "DOCKER_MIN_API_VERSION" : "min-api-version"}: ${messageOf(cause)}`, cause);
  }
  return text;
}

const proxiesOf = (values: FlagValues): ProxySettings => ({ httpProxy: values.string("http-proxy"), httpsProxy: values.string("https-proxy"), noProxy: values.string("no-proxy") });

function registriesOf(values: FlagValues, { configFile, environment }: { configFile: string; environment: NodeJS.ProcessEnv }): RegistryConfig {
  const least = (name: string, least: number): number => {
    const value = values.int(name);
    if (value < least) throw invalidParameter(`invalid ${name.replaceAll("-", " ")}: ${value}`);
    return value;
  };
  const proxies = proxySettings(environment, proxiesOf(values));
  for (const proxy of [proxies.httpProxy, proxies.httpsProxy]) checkProxy(proxy);
  const hosts = {
    mirrors: values.list("registry-mirror").map(parseMirror),
    insecureRegistries: values.list("insecure-registry"),
    certsFolders: [join(dirname(configFile === "" ? DEFAULT_CONFIG_FILE : configFile), "certs.d"), "/etc/docker/certs.d"],
  };
  parseInsecure(hosts.insecureRegistries);
  return {
    hosts,
    proxies,
    concurrentDownloads: least("max-concurrent-downloads", 0) || 3,
    concurrentUploads: least("max-concurrent-uploads", 0) || 5,
    downloadAttempts: least("max-download-attempts", 0) || 5,
  };
}

function containersOf(values: FlagValues): ContainerDefaults {
  const cgroupDriver = cgroupDriverOf(values.list("exec-opt"));
  const cgroupParent = values.string("cgroup-parent");
  if (cgroupDriver === "systemd" && cgroupParent !== "" && !/.\.slice$/.test(cgroupParent)) throw invalidParameter('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
  const runtimes = configuredRuntimes(values.list("add-runtime"));
  const runtime = checkDefaultRuntime(values.string("default-runtime"), runtimes);
  const ipcMode = values.string("default-ipc-mode");
  if (ipcMode !== "private" && ipcMode !== "shareable") throw invalidParameter(`default IPC mode setting (${ipcMode}) is invalid; use "shareable" or "private"`);
  const cgroupnsMode = values.string("default-cgroupns-mode");
  if (cgroupnsMode !== "" && cgroupnsMode !== "private" && cgroupnsMode !== "host") throw invalidParameter(`invalid default cgroup namespace (${cgroupnsMode}): use "host" or "private"`);
  return {
    runtime,
    runtimes,
    init: values.bool("init"),
    initPath: values.string("init-path"),
    shmSize: parseRamSize(values.string("default-shm-size")) ?? 0,
    ulimits: values.list("default-ulimit").map(parseUlimit),
    cgroupnsMode: cgroupnsMode === "" ? undefined : cgroupnsMode,
    ipcMode,
    cgroupParent,
    cgroupDriver,
    realtime: { period: nonNegative(values, "cpu-rt-period"), runtime: nonNegative(values, "cpu-rt-runtime") },
    noNewPrivileges: values.bool("no-new-privileges"),
    seccompProfile: values.string("seccomp-profile") || "builtin",
    stopTimeoutSeconds: stopTimeout(values),
    pidsLimit: nonNegative(values, "default-pids-limit"),
    logBytes: parseRamSize(values.string("log-limit")),
    log: logDriverOf(values),
    cdiSpecDirs: cdiSpecDirsOf(values),
    usersRemap: values.string("userns-remap"),
  };
}

function logDriverOf(values: FlagValues): ContainerDefaults["log"] {
  const driver = values.string("log-driver");
  if (driver !== "none" && !LOG_DRIVERS.includes(driver)) throw invalidParameter(`the log driver ${JSON.stringify(driver)} is not supported yet: there are ${[...LOG_DRIVERS, "none"].join(", ")}`);
  const options = Object.fromEntries(values.list("log-opt").map(splitOnce));
  validateLogConfig({ Type: driver, Config: options }, { Type: driver, Config: {} });
  return { driver, options };
}

const isOff = (values: FlagValues, feature: string): boolean => values.list("feature").map(parseFeature).some(({ name, enabled }) => name === feature && !enabled);

function cdiSpecDirsOf(values: FlagValues): string[] {
  if (isOff(values, "cdi")) return [];
  return values.changed("cdi-spec-dir") ? values.list("cdi-spec-dir").filter((dir) => dir !== "") : ["/etc/cdi", "/var/run/cdi"];
}

function stopTimeout(values: FlagValues): number {
  const seconds = values.int("default-stop-timeout");
  if (seconds < 0) throw invalidParameter(`invalid default stop timeout: ${seconds}`);
  return seconds;
}

function cgroupDriverOf(options: string[]): ContainerDefaults["cgroupDriver"] {
  let driver: ContainerDefaults["cgroupDriver"] = "cgroupfs";
  for (const option of options) {
    const [name = "", value = ""] = splitOnce(option).map((part) => part.trim());
    if (name.toLowerCase() !== "native.cgroupdriver") throw invalidParameter(`invalid exec-opt (${option}): unknown option: '${name}'`);
    if (value !== "cgroupfs" && value !== "systemd") throw invalidParameter(`invalid exec-opt (${option}): native.cgroupdriver option ${value} not supported`);
    driver = value;
  }
  return driver;
}

function nonNegative(values: FlagValues, name: string): number {
  const value = values.int(name);
  if (value < 0) throw invalidParameter(`invalid ${name}: ${value}`);
  return value;
}

function splitOnce(text: string): [string, string] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}
