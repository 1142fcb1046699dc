/** What older API versions meant by a create request, in terms of the newest. Changes the request in place. */
import { endpointSettingsSchema } from "../../core/container-config.ts";
import type { ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig } from "../../core/container-config.ts";
import type { KernelSupport } from "../../core/kernel-support.ts";
import { isPrivate, isUserDefined } from "../../engine/containers/modes.ts";
import { parseHardwareAddress } from "../../lib/address.ts";
import { invalidParameter, systemError } from "../../lib/errors.ts";
import { field, list, nullable, string, struct, text, zero } from "../../lib/schema.ts";
import { quote } from "../../lib/strconv.ts";
import { decodeLenient } from "../wire/decode.ts";
import type { Json } from "../wire/json-tree.ts";

export interface CreateBody {
  config: ContainerConfig;
  hostConfig: HostConfig;
  networkingConfig: NetworkingConfig;
  /** The body as it came, for fields that newer versions have no more. */
  json: Json;
}

/** Returns warnings for the client. `minor` is the API version's. */
export function adaptToVersion(body: CreateBody, minor: number, kernel: KernelSupport): string[] {
  const { hostConfig, networkingConfig } = body;
  if (minor < 40) below40(hostConfig);
  if (minor < 41 && hostConfig.CgroupnsMode === "" && kernel.cgroupVersion === 1) hostConfig.CgroupnsMode = "host";
  if (minor < 42) below42(hostConfig);
  else requireOwnOptions(hostConfig);
  if (minor < 43) hostConfig.Annotations = null;
  if (minor < 44) below44(body);
  if (minor < 45 && (hostConfig.Mounts ?? []).some((mount) => mount.VolumeOptions?.Subpath)) throw invalidParameter("VolumeOptions.Subpath needs API v1.45 or newer");
  if (minor < 48) below48(hostConfig, networkingConfig);
  const warnings = [ambiguousVolumeDriver(hostConfig, minor), minor < 52 ? legacyFields(body, minor) : "", interfaceSysctls(hostConfig, networkingConfig, minor), emptyPortBindings(hostConfig, minor)];
  hostConfig.PidsLimit = pidsLimitOf(hostConfig.PidsLimit);
  return warnings.filter((warning) => warning !== "");
}

/** null: nothing is said, as clients do with 0; -1: no limit. */
const pidsLimitOf = (asked: number | null): number | null => (asked === null || asked === 0 ? null : Math.max(asked, -1));

function below40(hostConfig: HostConfig): void {
  for (const mount of hostConfig.Mounts ?? []) if (mount.BindOptions) mount.BindOptions.NonRecursive = false;
  hostConfig.IpcMode ||= "shareable";
}

function below42(hostConfig: HostConfig): void {
  for (const mount of hostConfig.Mounts ?? []) {
    if (mount.BindOptions) mount.BindOptions.CreateMountpoint = false;
    if (mount.Type !== "volume") mount.VolumeOptions = null;
    if (mount.Type !== "tmpfs") mount.TmpfsOptions = null;
  }
  hostConfig.ConsoleSize = [0, 0];
}

function requireOwnOptions(hostConfig: HostConfig): void {
  for (const mount of hostConfig.Mounts ?? []) {
    for (const [type, field] of [["volume", "VolumeOptions"], ["bind", "BindOptions"], ["tmpfs", "TmpfsOptions"]] as const) {
      if (mount[field] !== null && mount.Type !== type) throw invalidParameter(`${field} must not be specified on mount type ${quote(mount.Type)}`);
    }
  }
}

function below44({ config, hostConfig, networkingConfig }: CreateBody): void {
  if (config.Healthcheck) config.Healthcheck.StartInterval = 0;
  if ((hostConfig.Mounts ?? []).some((mount) => mount.Type === "bind" && mount.BindOptions?.ReadOnlyForceRecursive)) throw invalidParameter("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
  const networks = Object.keys(networkingConfig.EndpointsConfig ?? {});
  if (networks.length > 1) throw invalidParameter(`Container cannot be created with multiple network endpoints: ${networks.join(", ")}`);
}

function below48(hostConfig: HostConfig, networkingConfig: NetworkingConfig): void {
  for (const endpoint of Object.values(networkingConfig.EndpointsConfig ?? {})) if (endpoint) endpoint.GwPriority = 0;
  if ((hostConfig.Mounts ?? []).some((mount) => mount.Type === "image")) throw invalidParameter('Mount type "Image" needs API v1.48 or newer');
}

function ambiguousVolumeDriver(hostConfig: HostConfig, minor: number): string {
  if (hostConfig.VolumeDriver === "" || minor < 48) return "";
  const ambiguous = (hostConfig.Mounts ?? []).some((mount) => mount.Type === "volume" && !mount.VolumeOptions?.DriverConfig?.Name);
  return ambiguous ? "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead" : "";
}

const legacySchema = struct("CreateRequest", {
  MacAddress: field(text("network.HardwareAddr", parseHardwareAddress)),
  HostConfig: field(nullable(struct("HostConfig", { Capabilities: field(list(string)) }))),
});

/** Config.MacAddress moved to the endpoint, HostConfig.Capabilities became CapAdd and CapDrop. */
function legacyFields(body: CreateBody, minor: number): string {
  const { MacAddress: mac, HostConfig: legacy } = decodeLenient(legacySchema, body.json);
  if ((legacy?.Capabilities?.length ?? 0) > 0 && minor <= 40) {
    throw invalidParameter("the HostConfig.Capabilities field is not supported by this daemon; use CapAdd and CapDrop to set capabilities");
  }
  const { hostConfig, networkingConfig } = body;
  const mode = hostConfig.NetworkMode;
  const hasMain = mode === "bridge" || isUserDefined(mode);
  if (minor < 44) {
    if (mac === "") for (const endpoint of Object.values(networkingConfig.EndpointsConfig ?? {})) if (endpoint) endpoint.MacAddress = "";
    if (mac === "") return "";
    if (!hasMain) throw invalidParameter("conflicting options: mac-address and the network mode");
    mainEndpoint(networkingConfig, mode, minor).MacAddress = mac;
    return "";
  }
  if (mac === "") return "";
  if (hasMain) {
    const endpoint = mainEndpoint(networkingConfig, mode, minor);
    if (endpoint.MacAddress !== "" && endpoint.MacAddress !== mac) throw invalidParameter("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty");
    endpoint.MacAddress = mac;
  }
  return "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
}

/** The endpoint that container-wide settings are for; made when there is none at all. */
function mainEndpoint(networkingConfig: NetworkingConfig, network: string, minor: number): EndpointSettings {
  const endpoints = (networkingConfig.EndpointsConfig ??= {});
  const names = Object.keys(endpoints);
  const name = names.length === 0 ? network : minor < 44 ? (names[0] as string) : network;
  if (names.length > 0 && !names.includes(name)) throw invalidParameter("HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks");
  return (endpoints[name] ??= zero(endpointSettingsSchema));
}

const SYSCTLS = "com.docker.network.endpoint.sysctls";

/** net.ipv4.conf.eth0.* of the container became an option of the endpoint, with IFNAME for eth0. Docker answers 500 to what cannot be moved. */
function interfaceSysctls(hostConfig: HostConfig, networkingConfig: NetworkingConfig, minor: number): string {
  if (!isPrivate(hostConfig.NetworkMode)) return "";
  const names = Object.keys(hostConfig.Sysctls ?? {}).filter((name) => /^net\.[^.]*\.[^.]*\.eth[^.]*\./.test(name));
  const [first] = names;
  if (first === undefined) return "";
  if (minor > 47) throw systemError(`interface specific sysctl setting ${quote(first)} must be supplied using driver option '${SYSCTLS}'`);
  const other = names.find((name) => name.split(".")[3] !== "eth0");
  if (other !== undefined) throw systemError(`unable to determine network endpoint for sysctl ${other}, use driver option '${SYSCTLS}' to set per-interface sysctls`);
  const endpoint = mainEndpoint(networkingConfig, hostConfig.NetworkMode, minor);
  const moved = names.map((name) => `${name.replace(".eth0.", ".IFNAME.")}=${hostConfig.Sysctls?.[name]}`).join(",");
  const present = endpoint.DriverOpts?.[SYSCTLS];
  endpoint.DriverOpts = { ...endpoint.DriverOpts, [SYSCTLS]: present === undefined ? moved : `${moved},${present}` };
  for (const name of names) delete hostConfig.Sysctls?.[name];
  return `Migrated sysctl ${quote(names.join(","))} to DriverOpts{${quote(SYSCTLS)}:${quote(moved)}}.`;
}

/** A port without bindings is bound to any host port. */
function emptyPortBindings(hostConfig: HostConfig, minor: number): string {
  const empty: string[] = [];
  for (const [port, bindings] of Object.entries(hostConfig.PortBindings ?? {})) {
    if ((bindings?.length ?? 0) > 0) continue;
    empty.push(port);
    hostConfig.PortBindings![port] = [{ HostIp: "", HostPort: "" }];
  }
  return minor < 52 || empty.length === 0 ? "" : `Following container port(s) have an empty list of port-bindings: ${empty.join(", ")}. Such bindings will be discarded in a future version.`;
}
