/** Checks of HostConfig, in Docker's order: first what holds everywhere, then what depends on this machine. */
import type { HostConfig, PortBinding, RestartPolicy } from "../../../core/container-config.ts";
import type { KernelSupport } from "../../../core/kernel-support.ts";
import { parseAddress } from "../../../lib/address.ts";
import { parseEgress } from "../../../lib/egress.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import { quote } from "../../../lib/strconv.ts";
import { restartsUnhealthy } from "../health/restart-unhealthy.ts";
import { runtimeNamed, type Runtimes } from "../runtimes.ts";
import type { CgroupDriver } from "../spec/host.ts";
import { isValidIpcMode, isValidPidMode } from "../modes.ts";
import { mapsOf, type UserSettings } from "../user-namespace.ts";
import { validateMount, validateTmpfsDestination } from "../mounts/spec.ts";
import { normalizeCapabilities } from "./capabilities.ts";
import { verifyResources } from "./resources.ts";

export function validateHostConfig(hostConfig: HostConfig): void {
  const policy = hostConfig.RestartPolicy;
  if (hostConfig.AutoRemove && policy.Name !== "" && policy.Name !== "no") throw invalidParameter("can't create 'AutoRemove' container with restart policy");
  for (const mount of hostConfig.Mounts ?? []) validateMount(mount);
  for (const entry of hostConfig.ExtraHosts ?? []) validateExtraHost(entry);
  for (const rule of hostConfig.Egress ?? []) parseEgress(rule);
  validatePortBindings(hostConfig.PortBindings);
  validateRestartPolicy(policy);
  normalizeCapabilities(hostConfig.CapAdd, "CapAdd");
  normalizeCapabilities(hostConfig.CapDrop, "CapDrop");
  if (Object.hasOwn(hostConfig.Annotations ?? {}, "")) throw invalidParameter("invalid Annotations: the empty string is not permitted as an annotation key");
  restartsUnhealthy(hostConfig);
}

function validateExtraHost(entry: string): void {
  const at = entry.indexOf(":");
  if (at < 1) throw invalidParameter(`bad format for add-host: ${quote(entry)}`);
  const address = entry.slice(at + 1);
  if (address === "host-gateway") return;
  try {
    if (parseAddress(address.trim()) !== "") return;
  } catch {
    // The message names the entry, not the parser's reason.
  }
  throw invalidParameter(`invalid IP address in add-host: ${quote(address)}`);
}

function validatePortBindings(bindings: Record<string, PortBinding[] | null> | null): void {
  for (const [port, hosts] of Object.entries(bindings ?? {})) {
    if (port === "" || port.startsWith("0/")) throw invalidParameter(`invalid port specification: ${quote(port === "" ? "invalid port" : port)}`);
    for (const { HostPort } of hosts ?? []) if (HostPort !== "" && !isPortRange(HostPort)) throw invalidParameter(`invalid port specification: ${quote(HostPort)}`);
  }
}

function isPortRange(text: string): boolean {
  const match = /^(\d+)(?:-(\d+))?(?:\/.*)?$/s.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  return match !== null && first <= last && last <= 65535;
}

export function validateRestartPolicy({ Name: name, MaximumRetryCount: count }: RestartPolicy): void {
  switch (name) {
    case "always":
    case "unless-stopped":
    case "no":
      if (count !== 0) throw invalidParameter(`invalid restart policy: maximum retry count can only be used with 'on-failure'${count < 0 ? " and cannot be negative" : ""}`);
      return;
    case "on-failure":
      if (count < 0) throw invalidParameter("invalid restart policy: maximum retry count cannot be negative");
      return;
    case "":
      return;
    default:
      throw invalidParameter(`invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
}

const isSlice = (name: string): boolean => name.length > ".slice".length && name.endsWith(".slice");

export interface PlatformSettings extends UserSettings {
  kernel: KernelSupport;
  runtimes: Runtimes;
  cgroupDriver: CgroupDriver;
}

/** What only the host's root may do. */
function refuseHostsNamespaces({ Privileged, NetworkMode, PidMode }: HostConfig): void {
  if (Privileged) throw invalidParameter("privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode");
  if (NetworkMode === "host") throw invalidParameter("cannot share the host's network namespace when user namespaces are enabled");
  if (PidMode === "host") throw invalidParameter("cannot share the host PID namespace when user namespaces are enabled");
}

/** Changes limits that the kernel does not have and the default runtime in place; returns the warnings. */
export function verifyPlatform(hostConfig: HostConfig, settings: PlatformSettings): string[] {
  const { kernel, runtimes, cgroupDriver } = settings;
  const warnings = verifyResources(hostConfig, kernel, false);
  if (!isValidIpcMode(hostConfig.IpcMode)) throw invalidParameter(`invalid IPC mode: ${hostConfig.IpcMode}`);
  if (!isValidPidMode(hostConfig.PidMode)) throw invalidParameter(`invalid PID mode: ${hostConfig.PidMode}`);
  if (hostConfig.ShmSize < 0) throw invalidParameter("SHM size can not be less than 0");
  if (!["", "host"].includes(hostConfig.UTSMode)) throw invalidParameter(`invalid UTS mode: ${hostConfig.UTSMode}`);
  if (Math.abs(hostConfig.OomScoreAdj) > 1000) throw invalidParameter(`Invalid value ${hostConfig.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (!kernel.ipv4Forwarding && !["host", "none"].includes(hostConfig.NetworkMode)) warnings.push("IPv4 forwarding is disabled. Networking will not work.");
  if (hostConfig.NetworkMode === "host" && Object.keys(hostConfig.PortBindings ?? {}).length > 0) warnings.push("Published ports are discarded when using host network mode");
  if (mapsOf(settings, { hostConfig })) refuseHostsNamespaces(hostConfig);
  if (cgroupDriver === "systemd" && hostConfig.CgroupParent !== "" && !isSlice(hostConfig.CgroupParent)) throw invalidParameter('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
  if (hostConfig.Runtime === "") hostConfig.Runtime = runtimes.defaultName;
  runtimeNamed(runtimes, hostConfig.Runtime);
  for (const destination of Object.keys(hostConfig.Tmpfs ?? {})) validateTmpfsDestination(destination);
  if (!["", "private", "host"].includes(hostConfig.CgroupnsMode)) throw invalidParameter(`invalid cgroup namespace mode: ${hostConfig.CgroupnsMode}`);
  if (hostConfig.CgroupnsMode === "private" && !kernel.cgroupNamespaces) warnings.push("Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.");
  return warnings;
}
