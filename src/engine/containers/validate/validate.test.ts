import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyConfig, emptyHostConfig } from "../../../core/container-config.ts";
import type { ContainerConfig, HostConfig } from "../../../core/container-config.ts";
import { fullKernel } from "../testing/context.ts";
import { validateConfig, validateHostname } from "./config.ts";
import { checkCpusetAvailable } from "./cpuset.ts";
import { validateHostConfig, verifyPlatform } from "./host-config.ts";
import { validateLogConfig } from "./log-config.ts";
import { validateRequest } from "./request.ts";
import { appArmorProfileOf, parseSecurityOptions } from "./security-options.ts";

const refuses = (run: () => unknown, message: string, code = "invalid-parameter"): void => assert.throws(run, { code, message });
const config = (fields: Partial<ContainerConfig>): ContainerConfig => ({ ...emptyConfig(), ...fields });
const hostConfig = (fields: Partial<HostConfig>): HostConfig => ({ ...emptyHostConfig(), ...fields });

test("Config", () => {
  const cleaned = config({ WorkingDir: "/a/../b//c/" });
  validateConfig(cleaned);
  assert.equal(cleaned.WorkingDir, "/b/c");
  refuses(() => validateConfig(config({ Env: ["=x"] })), "invalid environment variable: =x");
  refuses(() => validateConfig(config({ StopSignal: "SIGNOSUCH" })), "invalid signal: SIGNOSUCH");
  validateConfig(config({ StopSignal: "500" }));
  refuses(() => validateHostname(config({ Hostname: "é".repeat(33) })), `hostname "${"é".repeat(33)}" is too long (maximum 64 bytes)`);
});

test("modes that exclude other settings", () => {
  const check = (fields: Partial<HostConfig>, more: Partial<ContainerConfig> = {}) => () => validateRequest(config(more), hostConfig(fields), fullKernel);
  refuses(check({ NetworkMode: "container:" }), "invalid network mode: invalid container format container:<name|id>");
  refuses(check({ NetworkMode: "container:x", Dns: ["1.1.1.1"] }), "conflicting options: dns and the network mode");
  refuses(check({ UTSMode: "host" }, { Hostname: "h" }), "conflicting options: hostname and the UTS mode");
  refuses(check({ Isolation: "hyperv" }), "invalid isolation (hyperv): linux only supports 'default'");
  refuses(check({ CpuRealtimePeriod: 10, CpuRealtimeRuntime: 20 }), "cpu real-time runtime cannot be higher than cpu real-time period");
  check({ NetworkMode: "container:x", PortBindings: {} })();
});

test("HostConfig", () => {
  const check = (fields: Partial<HostConfig>) => () => validateHostConfig(hostConfig(fields));
  refuses(check({ RestartPolicy: { Name: "always", MaximumRetryCount: -1 } }), "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative");
  refuses(check({ AutoRemove: true, RestartPolicy: { Name: "always", MaximumRetryCount: 0 } }), "can't create 'AutoRemove' container with restart policy");
  refuses(check({ ExtraHosts: ["a:1.2.3"] }), 'invalid IP address in add-host: "1.2.3"');
  check({ ExtraHosts: ["a:2001:db8::1", "b:host-gateway"] })();
  refuses(check({ PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "90-80" }] } }), 'invalid port specification: "90-80"');
  refuses(check({ PortBindings: { "0/tcp": [] } }), 'invalid port specification: "0/tcp"');
  refuses(check({ Annotations: { "": "x" } }), "invalid Annotations: the empty string is not permitted as an annotation key");
  refuses(check({ CapDrop: ["constructor"] }), 'invalid CapDrop: unknown capability: "CAP_CONSTRUCTOR"');
});

test("limits of this machine", () => {
  const verify = (fields: Partial<HostConfig>) => () => verifyPlatform(hostConfig(fields), { kernel: fullKernel, runtimes: { defaultName: "own", programs: new Map([["own", undefined]]) }, cgroupDriver: "cgroupfs" });
  refuses(verify({ NanoCpus: 5e9 }), "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available");
  refuses(verify({ Runtime: "runsc" }), "unknown or invalid runtime name: runsc");
  refuses(verify({ Tmpfs: { "/a/..": "" } }), "invalid specification: destination can't be '/'");
  refuses(verify({ CgroupnsMode: "x" }), "invalid cgroup namespace mode: x");
  assert.deepEqual(verify({ OomKillDisable: true, NetworkMode: "host", PortBindings: { "80/tcp": [] } })(), [
    "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    "Published ports are discarded when using host network mode",
  ]);
});

test("cpusets, also hostile ones", () => {
  const words = { list: "cpuset cpus", missing: "CPUs" };
  checkCpusetAvailable("0-1,3", "0-3", words);
  refuses(() => checkCpusetAvailable("2-5", "0-3", words), "Requested CPUs are not available - requested 2-5, available: 0-3");
  refuses(() => checkCpusetAvailable("3-1", "0-3", words), "Invalid value 3-1 for cpuset cpus: invalid format: 3-1");
  refuses(() => checkCpusetAvailable("1-9223372036854775807", "0-3", words), "Invalid value 1-9223372036854775807 for cpuset cpus: value of out range, maximum is 8192");
});

test("security options", () => {
  assert.deepEqual(parseSecurityOptions(["no-new-privileges:true", "seccomp=unconfined", "label=disable", "apparmor=a=b"]), { noNewPrivileges: true, writableCgroups: undefined, labels: ["disable"], appArmor: "a=b", seccomp: "unconfined" });
  refuses(() => parseSecurityOptions(["x"]), 'invalid --security-opt 1: "x"', "system");
  refuses(() => parseSecurityOptions(["writable-cgroups=maybe"]), 'invalid --security-opt 2: "writable-cgroups=maybe"', "system");
});

test("log drivers and their options", () => {
  const check = (Type: string, Config: Record<string, string> | null = null) => {
    const log = { Type, Config };
    validateLogConfig(log, { Type: "json-file", Config: { "max-size": "1m" } });
    return log;
  };
  assert.deepEqual(check(""), { Type: "json-file", Config: { "max-size": "1m" } });
  assert.deepEqual(check("none", { x: "y" }), { Type: "none", Config: { x: "y" } });
  refuses(() => check("constructor"), 'error looking up logging plugin constructor: plugin "constructor" not found');
  refuses(() => check("json-file", { "max-buffer-size": "1m" }), "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  refuses(() => check("gelf", { "gelf-address": "http://a:1" }), "gelf: endpoint needs to be TCP or UDP");
  refuses(() => check("gelf", { "gelf-address": "tcp://a:1", "gelf-compression-type": "gzip" }), "compression is only supported on UDP");
  refuses(() => check("fluentd", { "fluentd-address": "tcp://a/b" }), "invalid fluentd-address (tcp://a/b): should not contain a path element");
  refuses(() => check("awslogs", { "awslogs-group": "g", "awslogs-create-group": "x" }), "must specify valid value for log opt 'awslogs-create-group': strconv.ParseBool: parsing \"x\": invalid syntax");
  check("syslog", { "syslog-address": "udp://a:1", "syslog-facility": "local3" });
});

test("the AppArmor profile: what was asked for, else the usual one, and none for privileged containers", () => {
  const profile = (SecurityOpt: string[], Privileged: boolean, usual?: string): string => appArmorProfileOf({ SecurityOpt, Privileged }, usual);
  assert.deepEqual([profile([], false), profile([], true), profile(["apparmor=own"], false)], ["", "", "own"]);
  assert.deepEqual([profile([], false, "usual"), profile([], true, "usual"), profile(["apparmor=own"], true, "usual"), profile(["apparmor=unconfined"], false, "usual")], ["usual", "unconfined", "own", "unconfined"]);
});
