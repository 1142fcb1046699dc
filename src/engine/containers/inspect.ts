/** Everything about one container, as JSON text in the shape of an API version. */
import { configSchema, hostConfigSchema } from "../../core/container-config.ts";
import type { EndpointSettings } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { withoutValues } from "../../lib/environment.ts";
import { rfc3339Nano } from "../../lib/rfc3339.ts";
import { print } from "../../lib/schema.ts";
import type { ContainersContext } from "./context.ts";
import { shownLinks } from "./links.ts";
import { isUserDefined } from "./modes.ts";
import { appArmorProfileOf } from "./validate/security-options.ts";
import { shownMounts } from "./view/mounts.ts";
import { networksOf, printNetworks } from "./view/networks.ts";
import { inspectPorts } from "./view/ports.ts";
import { inspectState } from "./view/state.ts";

export interface InspectOptions {
  size: boolean;
  /** The API version's minor number. */
  version: number;
  /** Values of environment variables are not shown. */
  hideEnvironment?: boolean;
}

export async function inspectContainer(context: ContainersContext, ref: string, { size, version, hideEnvironment = false }: InspectOptions): Promise<string> {
  const record = context.store.find(ref);
  await context.tasks.ending(record.id);
  const sizes = size ? await context.layers.size(record) : undefined;
  const networks = shownNetworks(context, record, version);
  const { hosts, hostname, resolvConf, log } = context.files(record);
  const execIds = context.tasks.execIds(record.id);
  const [path = "", ...args] = commandOf(record);
  const fields: [string, string][] = [
    ["Id", json(record.id)],
    ["Created", json(rfc3339Nano(record.createdAt))],
    ["Path", json(path)],
    ["Args", json(args)],
    ["State", json(inspectState(record))],
    ["Image", json(record.imageId)],
    ["ResolvConfPath", json(resolvConf)],
    ["HostnamePath", json(hostname)],
    ["HostsPath", json(hosts)],
    ["LogPath", json(record.hostConfig.LogConfig.Type === "json-file" ? log : "")],
    ["Name", json(`/${record.name}`)],
    ["RestartCount", json(record.restartCount)],
    ["Driver", json(record.storageDriver)],
    ["Platform", json(record.imageManifest?.platform.os ?? "linux")],
    ["MountLabel", '""'],
    ["ProcessLabel", '""'],
    ["AppArmorProfile", json(appArmorProfileOf(record.hostConfig, context.settings.appArmorProfile))],
    ["ExecIDs", execIds.length === 0 ? "null" : json(execIds)],
    ["HostConfig", printHostConfig(context, record)],
    ...(version < 52 ? [["GraphDriver", json({ Data: null, Name: record.storageDriver })] as [string, string]] : []),
    ...(version >= 52 ? [["Storage", json({ RootFS: { Snapshot: { Name: record.storageDriver } } })] as [string, string]] : []),
    ...(sizes ? ([["SizeRw", json(sizes.writable)], ["SizeRootFs", json(sizes.total)]] as [string, string][]) : []),
    ["Mounts", json(shownMounts(record.mounts))],
    ["Config", printConfig(hideEnvironment ? { ...record, config: { ...record.config, Env: withoutValues(record.config.Env ?? []) } } : record, version)],
    ["NetworkSettings", printNetworkSettings(record, networks, version)],
    ...(version >= 48 && record.imageManifest ? [["ImageManifestDescriptor", json(record.imageManifest)] as [string, string]] : []),
  ];
  return `{${fields.map(([key, value]) => `"${key}":${value}`).join(",")}}\n`;
}

const json = (value: unknown): string => JSON.stringify(value);

/** The program and its arguments. */
export const commandOf = ({ config }: Pick<ContainerRecord, "config">): string[] => [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];

function printHostConfig(context: ContainersContext, record: ContainerRecord): string {
  const find = (ref: string): ContainerRecord | undefined => context.store.byName(ref) ?? context.store.get(ref);
  const { PidsLimit: pids } = record.hostConfig;
  // No limit, whether it was asked for or not, is none in Docker's answers.
  return print(hostConfigSchema, { ...record.hostConfig, PidsLimit: pids !== null && pids < 0 ? null : pids, Links: shownLinks(record, find) });
}

/** Before 1.52 the main endpoint's own hardware address was a field of Config, too. */
function printConfig(record: ContainerRecord, version: number): string {
  const text = print(configSchema, record.config);
  const mode = record.hostConfig.NetworkMode;
  const mac = mode === "bridge" || isUserDefined(mode) ? (record.networkingConfig.EndpointsConfig?.[mode]?.MacAddress ?? "") : "";
  return version >= 52 || mac === "" ? text : `${text.slice(0, -1)},"MacAddress":${json(mac)}}`;
}

/** Before 1.45 aliases held the short id and the host name. */
function shownNetworks(context: ContainersContext, record: ContainerRecord, version: number): Record<string, EndpointSettings> {
  const networks = networksOf(record, (name) => context.findNetwork(name)?.id);
  if (version >= 45) return networks;
  for (const [name, endpoint] of Object.entries(networks)) {
    if (isUserDefined(name)) endpoint.Aliases = [...new Set([...(endpoint.Aliases ?? []), record.id.slice(0, 12), record.config.Hostname])];
  }
  return networks;
}

/** The namespace as a path, for programs that enter it. */
const sandboxKey = ({ network, state }: ContainerRecord): string => (network && (state.status === "running" || state.status === "paused") ? `/proc/${state.pid}/ns/net` : "");

/** Before 1.52 the bridge's endpoint was shown beside the networks. */
function printNetworkSettings(record: ContainerRecord, networks: Record<string, EndpointSettings>, version: number): string {
  const bridge = version < 52 ? networks["bridge"] : undefined;
  const flat = bridge && {
    EndpointID: bridge.EndpointID,
    Gateway: bridge.Gateway,
    GlobalIPv6Address: bridge.GlobalIPv6Address,
    GlobalIPv6PrefixLen: bridge.GlobalIPv6PrefixLen,
    IPAddress: bridge.IPAddress,
    IPPrefixLen: bridge.IPPrefixLen,
    IPv6Gateway: bridge.IPv6Gateway,
    MacAddress: bridge.MacAddress,
  };
  const own = { SandboxID: record.network?.sandboxId ?? "", SandboxKey: sandboxKey(record), Ports: inspectPorts(record), ...flat };
  return `${json(own).slice(0, -1)},"Networks":${printNetworks(networks)}}`;
}
