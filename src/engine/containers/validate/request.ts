/** Checks of a create request that come before everything else: network modes that exclude other settings, settings of other platforms. */
import type { ContainerConfig, HostConfig } from "../../../core/container-config.ts";
import type { KernelSupport } from "../../../core/kernel-support.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import { containerOf } from "../modes.ts";

export function validateRequest(config: ContainerConfig, hostConfig: HostConfig, kernel: KernelSupport): void {
  validateContainerNetwork(config, hostConfig);
  if (hostConfig.UTSMode === "host" && config.Hostname !== "") throw invalidParameter("conflicting options: hostname and the UTS mode");
  if (hostConfig.NetworkMode === "host" && isSet(hostConfig.Links)) throw invalidParameter("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  if (!["", "default"].includes(hostConfig.Isolation.toLowerCase())) throw invalidParameter(`invalid isolation (${hostConfig.Isolation}): linux only supports 'default'`);
  if (hostConfig.IOMaximumBandwidth !== 0) throw invalidParameter("invalid option: QoS maximum bandwidth configuration is not supported on linux");
  if (hostConfig.IOMaximumIOps !== 0) throw invalidParameter("invalid option: QoS maximum IOPs configuration is not supported on linux");
  if (isSet(hostConfig.Egress) && (hostConfig.NetworkMode === "host" || containerOf(hostConfig.NetworkMode) !== undefined)) throw invalidParameter("conflicting options: egress and the network mode");
  validateCpu(hostConfig, kernel);
}

function validateContainerNetwork(config: ContainerConfig, hostConfig: HostConfig): void {
  const other = hostConfig.NetworkMode === "container" ? "" : containerOf(hostConfig.NetworkMode);
  if (other === undefined) return;
  if (other === "") throw invalidParameter("invalid network mode: invalid container format container:<name|id>");
  if (config.Hostname !== "") throw invalidParameter("conflicting options: hostname and the network mode");
  if (isSet(hostConfig.Links)) throw invalidParameter("conflicting options: container type network can't be used with links. This would result in undefined behavior");
  if (isSet(hostConfig.Dns)) throw invalidParameter("conflicting options: dns and the network mode");
  if (isSet(hostConfig.ExtraHosts)) throw invalidParameter("conflicting options: custom host-to-IP mapping and the network mode");
  if (isSet(hostConfig.PortBindings) || hostConfig.PublishAllPorts) throw invalidParameter("conflicting options: port publishing and the container type network mode");
  if (isSet(config.ExposedPorts)) throw invalidParameter("conflicting options: port exposing and the container type network mode");
}

function validateCpu(hostConfig: HostConfig, kernel: KernelSupport): void {
  const { CpuRealtimePeriod: period, CpuRealtimeRuntime: runtime, CpuShares: shares } = hostConfig;
  if ((period !== 0 || runtime !== 0) && !kernel.cpuRealtime) throw invalidParameter("kernel does not support CPU real-time scheduler");
  if (period !== 0 && runtime > period) throw invalidParameter("cpu real-time runtime cannot be higher than cpu real-time period");
  if (kernel.cpuShares && shares < 0) throw invalidParameter(`invalid CPU shares (${shares}): value must be a positive integer`);
}

const isSet = (value: object | null): boolean => value !== null && Object.keys(value).length > 0;
