/** One row of a list, as JSON text in pieces: what changes with time alone is put between them at each request. */
import type { EndpointSettings } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { commandOf } from "../inspect.ts";
import { shownMounts } from "./mounts.ts";
import { networksOf, printNetworks } from "./networks.ts";
import { portSummaries } from "./ports.ts";

/** What a row has depends on the API version. */
export interface RowShape {
  annotations: boolean;
  manifest: boolean;
  health: boolean;
}

/** Text before the image's name, up to the sizes, up to the status, and to the end. */
export interface Row {
  beforeImage: string;
  beforeSizes: string;
  beforeStatus: string;
  afterStatus: string;
}

export interface RowSources {
  networkId: (name: string) => string | undefined;
  /** Names by links, beside its own. */
  linkNames: readonly string[];
}

export function rowOf(record: ContainerRecord, shape: RowShape, { networkId, linkNames }: RowSources): Row {
  const manifest = shape.manifest && record.imageManifest ? `,"ImageManifestDescriptor":${json(record.imageManifest)}` : "";
  const annotations = record.hostConfig.Annotations ?? {};
  const hostConfig = { NetworkMode: record.hostConfig.NetworkMode, ...(shape.annotations && Object.keys(annotations).length > 0 && { Annotations: annotations }) };
  const health = { Status: record.health?.status ?? "none", FailingStreak: record.health?.failingStreak ?? 0 };
  return {
    beforeImage: `{"Id":"${record.id}","Names":${json([`/${record.name}`, ...linkNames])},"Image":`,
    beforeSizes: `,"ImageID":${json(record.imageId)}${manifest},"Command":${json(commandText(record))},"Created":${record.createdAt / 1_000_000_000n},"Ports":${json(portSummaries(record))}`,
    beforeStatus: `,"Labels":${json(sorted(record.config.Labels ?? {}))},"State":"${record.state.status}","Status":`,
    afterStatus: `,"HostConfig":${json(hostConfig)}${shape.health ? `,"Health":${json(health)}` : ""},"NetworkSettings":{"Networks":${printNetworks(networks(record, networkId))}},"Mounts":${json(shownMounts(record.mounts))}}`,
  };
}

const json = (value: unknown): string => JSON.stringify(value);
const sorted = (values: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));

export function commandText(record: ContainerRecord): string {
  const [path = "", ...args] = commandOf(record);
  return [path, ...args.map((arg) => (arg.includes(" ") ? `'${arg}'` : arg))].join(" ");
}

/** Rows do not tell what only inspect does. */
function networks(record: ContainerRecord, networkId: (name: string) => string | undefined): Record<string, EndpointSettings> {
  const all = networksOf(record, networkId);
  for (const endpoint of Object.values(all)) {
    endpoint.Links = endpoint.Aliases = endpoint.DriverOpts = endpoint.DNSNames = null;
    if (endpoint.IPAMConfig) endpoint.IPAMConfig = { ...endpoint.IPAMConfig, LinkLocalIPs: null };
  }
  return all;
}
