/**
 * HostConfig.LogConfig: the options that each of Docker's log drivers knows. A container with a driver that this version
 * has not is accepted, as Docker does, and refused at its start.
 */
import { existsSync } from "node:fs";
import type { HostConfig } from "../../../core/container-config.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import { parseSocketUrl } from "../../../lib/socket-address.ts";
import { atoi, parseBool, parseDuration, parseUnsigned, quote } from "../../../lib/strconv.ts";
import { parseRamSize } from "../../../lib/units.ts";

type Options = Record<string, string>;
interface LogDriver {
  options: readonly string[];
  unknown: (key: string) => string;
  check?: (options: Options) => void;
}

const COMMON = ["env", "env-regex", "labels", "labels-regex", "tag"];
const named = (prefix: string, names: string): string[] => names.split(" ").map((name) => `${prefix}-${name}`);
const unknownFor = (driver: string) => (key: string) => `unknown log opt '${key}' for ${driver} log driver`;

const DRIVERS: Record<string, LogDriver> = {
  "json-file": { options: [...COMMON, "max-file", "max-size", "compress"], unknown: unknownFor("json-file") },
  local: { options: [...COMMON, "max-file", "max-size", "compress"], unknown: (key) => `unknown log opt '${key}' for log driver local` },
  journald: { options: COMMON, unknown: unknownFor("journald") },
  syslog: { options: [...COMMON, ...named("syslog", "address facility tls-ca-cert tls-cert tls-key tls-skip-verify format")], unknown: unknownFor("syslog"), check: checkSyslog },
  gelf: { options: [...COMMON, ...named("gelf", "address compression-level compression-type tcp-max-reconnect tcp-reconnect-delay")], unknown: (key) => `unknown log opt ${quote(key)} for gelf log driver`, check: checkGelf },
  fluentd: {
    options: [...COMMON, ...named("fluentd", "address async async-reconnect-interval buffer-limit max-retries request-ack retry-wait sub-second-precision write-timeout read-timeout")],
    unknown: unknownFor("fluentd"),
    check: checkFluentd,
  },
  splunk: { options: [...COMMON, ...named("splunk", "url token source sourcetype index capath caname insecureskipverify format verify-connection gzip gzip-level index-acknowledgment")], unknown: unknownFor("splunk") },
  awslogs: {
    options: ["tag", ...named("awslogs", "group stream create-group create-stream region endpoint datetime-format multiline-pattern credentials-endpoint force-flush-interval-seconds max-buffered-events format")],
    unknown: unknownFor("awslogs"),
    check: checkAwslogs,
  },
  gcplogs: { options: [...COMMON.filter((name) => name !== "tag"), "gcp-project", "gcp-log-cmd", ...named("gcp-meta", "zone name id")], unknown: (key) => `${quote(key)} is not a valid option for the gcplogs driver` },
};

/** Sets the defaults in place and checks the options. */
export function validateLogConfig(log: HostConfig["LogConfig"], defaults: HostConfig["LogConfig"]): void {
  if (log.Type === "") log.Type = defaults.Type;
  log.Config = log.Type === defaults.Type ? { ...defaults.Config, ...log.Config } : { ...log.Config };
  if (log.Type === "none") return;
  const { mode, "max-buffer-size": bufferSize, ...others } = log.Config;
  if (!["", "blocking", "non-blocking"].includes(mode ?? "")) throw invalidParameter(`logger: logging mode not supported: ${mode}`);
  if (bufferSize !== undefined) {
    if (mode !== "non-blocking") throw invalidParameter("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    wrapped(() => parseRamSize(bufferSize), "error parsing option max-buffer-size: ");
  }
  const options = withoutCache(others);
  const driver = Object.hasOwn(DRIVERS, log.Type) ? DRIVERS[log.Type] : undefined;
  if (!driver) throw invalidParameter(`error looking up logging plugin ${log.Type}: plugin ${quote(log.Type)} not found`);
  if (driver === DRIVERS["gelf"]) checkGelfAddress(options);
  for (const key of Object.keys(options)) if (!driver.options.includes(key)) throw invalidParameter(driver.unknown(key));
  driver.check?.(options);
}

/** Every driver takes the options of the record that is kept here. */
function withoutCache({ "cache-disabled": disabled = "", ...options }: Options): Options {
  if (disabled !== "") {
    try {
      parseBool(disabled);
    } catch {
      throw invalidParameter(`invalid value for option cache-disabled: ${disabled}`);
    }
  }
  return Object.fromEntries(Object.entries(options).filter(([key]) => !["cache-max-size", "cache-max-file", "cache-compress"].includes(key)));
}

const FACILITIES = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp local0 local1 local2 local3 local4 local5 local6 local7".split(" ");

function checkSyslog(options: Options): void {
  const address = options["syslog-address"] ?? "";
  if (address !== "") {
    const { scheme, path } = wrapped(() => parseSocketUrl(address), "");
    if (scheme.startsWith("unix") && !existsSync(path)) throw invalidParameter(`stat ${path}: no such file or directory`);
    if (!["unix", "unixgram", "udp", "tcp", "tcp+tls"].includes(scheme)) throw invalidParameter(`unsupported scheme: '${scheme}'`);
  }
  const facility = options["syslog-facility"] ?? "";
  const isNumber = /^\+?\d+$/.test(facility) && Number(facility) <= 23;
  if (facility !== "" && !isNumber && !FACILITIES.includes(facility)) throw invalidParameter("invalid syslog facility");
  if (!["", "rfc3164", "rfc5424", "rfc5424micro"].includes(options["syslog-format"] ?? "")) throw invalidParameter("Invalid syslog format");
}

function checkGelfAddress(options: Options): string {
  const address = options["gelf-address"] ?? "";
  if (address === "") throw invalidParameter("gelf-address is a required parameter");
  const { scheme, host } = wrapped(() => parseSocketUrl(address), "");
  if (scheme !== "udp" && scheme !== "tcp") throw invalidParameter("gelf: endpoint needs to be TCP or UDP");
  if (!/:[^:]*$/.test(host)) throw invalidParameter("gelf: please provide gelf-address as proto://host:port");
  return scheme;
}

function checkGelf(options: Options): void {
  const scheme = checkGelfAddress(options);
  for (const [key, value] of Object.entries(options)) {
    const bad = (): never => {
      throw invalidParameter(`unknown value ${quote(value)} for log opt ${quote(key)} for gelf log driver`);
    };
    if (key.startsWith("gelf-compression") && scheme !== "udp") throw invalidParameter("compression is only supported on UDP");
    if (key === "gelf-compression-level" && !/^(?:-1|\+?[0-9])$/.test(value)) bad();
    if (key === "gelf-compression-type" && !["gzip", "zlib", "none"].includes(value)) bad();
    if (!key.startsWith("gelf-tcp")) continue;
    if (scheme !== "tcp") throw invalidParameter(`${quote(key)} is only valid for TCP`);
    if (!/^\+?\d+$/.test(value)) throw invalidParameter(`${quote(key)} must be a positive integer`);
  }
}

function checkFluentd(options: Options): void {
  const given = (key: string, check: (value: string) => void, prefix = ""): void => {
    const value = options[`fluentd-${key}`] ?? "";
    if (value !== "") wrapped(() => check(value), prefix);
  };
  given("address", checkFluentdAddress, `invalid fluentd-address (${options["fluentd-address"]}): `);
  given("buffer-limit", parseRamSize);
  given("retry-wait", parseDuration);
  given("max-retries", (value) => {
    if (parseUnsigned(value, 32, 10) > 0x7fffffffn) throw new Error("invalid fluentd-max-retries: value out of range");
  });
  given("async", parseBool);
  given("async-reconnect-interval", checkReconnectInterval);
  for (const key of ["sub-second-precision", "request-ack"]) given(key, parseBool);
  for (const key of ["write-timeout", "read-timeout"]) given(key, (value) => checkTimeout(`fluentd-${key}`, value));
}

const FLUENTD_INTERVAL = { least: 100e6, most: 10e9 };

function checkReconnectInterval(value: string): void {
  const interval = wrapped(() => parseDuration(value), "invalid value for fluentd-async-reconnect-interval: ");
  if (interval === 0 || (interval >= FLUENTD_INTERVAL.least && interval <= FLUENTD_INTERVAL.most)) return;
  throw new Error(`invalid value for fluentd-async-reconnect-interval: value (${quote(value)}) must be between 100ms and 10s`);
}

function checkTimeout(key: string, value: string): void {
  const duration = wrapped(() => parseDuration(value), `invalid value for ${key}: value must be a duration: `);
  if (duration < 0) throw new Error(`invalid value for ${key}: value must be a duration that is non-negative`);
}

function checkFluentdAddress(address: string): void {
  const { scheme, host, path } = parseSocketUrl(address.includes("://") ? address : `tcp://${address}`);
  if (scheme === "unix") {
    if (path.replace(/^\/+/, "") === "") throw new Error("path is empty");
    return;
  }
  if (scheme !== "tcp" && scheme !== "tls") throw new Error(`unsupported scheme: '${scheme}'`);
  if (path !== "") throw new Error("should not contain a path element");
  const port = /:(\d+)$/.exec(host)?.[1];
  if (port !== undefined && Number(port) > 65535) throw new Error(`invalid port: strconv.ParseUint: parsing ${quote(port)}: value out of range`);
}

function checkAwslogs(options: Options): void {
  if ((options["awslogs-group"] ?? "") === "") throw invalidParameter("must specify a value for log opt 'awslogs-group'");
  for (const key of ["awslogs-create-group", "awslogs-create-stream"]) {
    const value = options[key] ?? "";
    if (value !== "") wrapped(() => parseBool(value), `must specify valid value for log opt '${key}': `);
  }
  for (const key of ["awslogs-force-flush-interval-seconds", "awslogs-max-buffered-events"]) {
    const value = options[key] ?? "";
    if (value !== "" && !isPositive(value)) throw invalidParameter(`must specify a positive integer for log opt '${key}': ${value}`);
  }
  const has = (key: string): boolean => options[key] !== undefined;
  if (has("awslogs-datetime-format") && has("awslogs-multiline-pattern")) throw invalidParameter("you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time");
  const format = options["awslogs-format"] ?? "";
  if (format !== "" && format !== "json/emf") throw invalidParameter(`unsupported log format '${format}'`);
  if (format !== "" && (has("awslogs-datetime-format") || has("awslogs-multiline-pattern"))) {
    throw invalidParameter("you cannot configure log opt 'awslogs-datetime-format' or 'awslogs-multiline-pattern' when log opt 'awslogs-format' is set to 'json/emf'");
  }
}

function isPositive(text: string): boolean {
  try {
    return atoi(text) > 0;
  } catch {
    return false;
  }
}

function wrapped<T>(run: () => T, prefix: string): T {
  try {
    return run();
  } catch (error) {
    throw invalidParameter(prefix + (error as Error).message);
  }
}
