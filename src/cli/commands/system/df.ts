import { humanSize } from "../../../lib/units.ts";
import { bytesText, cacheRow, CACHE_KIND } from "../../format/build-cache.ts";
import type { CacheRecord } from "../../format/build-cache.ts";
import { CONTAINER_KIND, containerRow } from "../../format/container.ts";
import type { ContainerSummary } from "../../format/container.ts";
import { IMAGE_KIND, imageRow } from "../../format/image.ts";
import type { ImageSummary } from "../../format/image.ts";
import { compileFormat, formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import { VOLUME_KIND, volumeRow } from "../../format/volume.ts";
import type { VolumeSummary } from "../../format/volume.ts";
import { familiarRepository, parseReference } from "../../../lib/reference.ts";
import type { Session } from "../../session.ts";
import { execute } from "../../../lib/template/execute.ts";
import { TemplateObject } from "../../../lib/template/values.ts";

/** What is 0 is left out of the answer. */
interface Usage<T> {
  ActiveCount?: number;
  TotalCount?: number;
  Reclaimable?: number;
  TotalSize?: number;
  Items?: T[] | null;
}

interface DiskUsage {
  ImageUsage?: Usage<ImageSummary>;
  ContainerUsage?: Usage<ContainerSummary>;
  VolumeUsage?: Usage<VolumeSummary>;
  BuildCacheUsage?: Usage<CacheRecord>;
  /** Before API 1.52. */
  LayersSize?: number;
  Images?: ImageSummary[] | null;
  Containers?: ContainerSummary[] | null;
  Volumes?: VolumeSummary[] | null;
  BuildCache?: CacheRecord[] | null;
}

const KIND: RowKind = { typeName: "*formatter.diskUsageImagesContext", headers: { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" } };

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const verbose = flags.bool("verbose");
  const usage = await session.client.json<DiskUsage>("GET", "/system/df", { query: { verbose: verbose || undefined } });
  const parts = { images: usage.ImageUsage ?? imageUsage(usage), containers: usage.ContainerUsage ?? containerUsage(usage), volumes: usage.VolumeUsage ?? volumeUsage(usage), cache: usage.BuildCacheUsage ?? cacheUsage(usage) };
  const format = flags.string("format") || "table";
  if (verbose) {
    session.out.write(format === "table" ? verboseTables(parts) : verboseTemplate(format, parts));
    return;
  }
  const rows = [usageRow("Images", parts.images), usageRow("Containers", parts.containers), usageRow("Local Volumes", parts.volumes), usageRow("Build Cache", parts.cache)];
  session.out.write(formatRows(format === "table" ? "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}" : format, KIND, rows));
}

interface Parts {
  images: Usage<ImageSummary>;
  containers: Usage<ContainerSummary>;
  volumes: Usage<VolumeSummary>;
  cache: Usage<CacheRecord>;
}

function usageRow(type: string, usage: Usage<unknown>): TemplateObject {
  const { TotalSize = 0, Reclaimable = 0, TotalCount = 0, ActiveCount = 0 } = usage;
  const share = TotalSize > 0 && type !== "Build Cache" ? ` (${Math.trunc((Reclaimable * 100) / TotalSize)}%)` : "";
  return row(KIND, { Type: () => type, TotalCount: () => String(TotalCount), Active: () => String(ActiveCount), Size: () => humanSize(TotalSize), Reclaimable: () => humanSize(Reclaimable) + share });
}

const sum = <T>(items: T[], size: (item: T) => number): number => items.reduce((total, item) => total + size(item), 0);

function imageUsage(usage: DiskUsage): Usage<ImageSummary> {
  const items = usage.Images ?? [];
  const used = sum(items.filter((image) => image.Containers > 0 && image.SharedSize !== -1), (image) => image.Size - image.SharedSize);
  const total = usage.LayersSize ?? 0;
  return { TotalCount: items.length, ActiveCount: items.filter((image) => image.Containers > 0).length, TotalSize: total, Reclaimable: total - used, Items: items };
}

function containerUsage(usage: DiskUsage): Usage<ContainerSummary> {
  const items = usage.Containers ?? [];
  const active = (container: ContainerSummary): boolean => ["running", "paused", "restarting"].includes(container.State.toLowerCase());
  const size = (container: ContainerSummary): number => container.SizeRw ?? 0;
  return { TotalCount: items.length, ActiveCount: items.filter(active).length, TotalSize: sum(items, size), Reclaimable: sum(items.filter((item) => !active(item)), size), Items: items };
}

function volumeUsage(usage: DiskUsage): Usage<VolumeSummary> {
  const items = usage.Volumes ?? [];
  const size = (volume: VolumeSummary): number => Math.max(volume.UsageData?.Size ?? 0, 0);
  return { TotalCount: items.length, ActiveCount: items.filter((volume) => (volume.UsageData?.RefCount ?? 0) > 0).length, TotalSize: sum(items, size), Reclaimable: sum(items.filter((volume) => (volume.UsageData?.RefCount ?? 0) === 0), size), Items: items };
}

function cacheUsage(usage: DiskUsage): Usage<CacheRecord> {
  const items = usage.BuildCache ?? [];
  const own = items.filter((record) => !record.Shared);
  return { TotalCount: items.length, ActiveCount: items.filter((record) => record.InUse).length, TotalSize: sum(own, (record) => record.Size), Reclaimable: sum(own.filter((record) => !record.InUse), (record) => record.Size), Items: items };
}

function rowsOf(parts: Parts, truncate: boolean): { images: TemplateObject[]; containers: TemplateObject[]; volumes: TemplateObject[]; cache: TemplateObject[] } {
  return {
    images: (parts.images.Items ?? []).map((image) => imageRow(image, firstName(image), truncate)),
    containers: (parts.containers.Items ?? []).map((container) => containerRow({ ...container, SizeRootFs: 0 }, truncate)),
    volumes: (parts.volumes.Items ?? []).map(volumeRow),
    cache: (parts.cache.Items ?? []).map((record) => cacheRow(record, truncate)),
  };
}

function firstName(image: ImageSummary): { repository: string; tag: string; digest: string } {
  const none = { repository: "<none>", tag: "<none>", digest: "<none>" };
  const [first] = image.RepoTags ?? [];
  if (first === undefined || first === "<none>:<none>") return none;
  const reference = parseReference(first);
  return { ...none, repository: familiarRepository(reference), tag: reference.tag ?? "<none>" };
}

function verboseTables(parts: Parts): string {
  const rows = rowsOf(parts, true);
  return [
    "Images space usage:\n\n",
    formatRows("table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t{{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}", IMAGE_KIND, rows.images),
    "\nContainers space usage:\n\n",
    formatRows("table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t{{.Size}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Names}}", CONTAINER_KIND, rows.containers),
    "\nLocal Volumes space usage:\n\n",
    formatRows("table {{.Name}}\\t{{.Links}}\\t{{.Size}}", VOLUME_KIND, rows.volumes),
    `\nBuild cache usage: ${bytesText(parts.cache.TotalSize ?? 0)}\n\n`,
    formatRows("table {{.ID}}\\t{{.CacheType}}\\t{{.Size}}\\t{{.CreatedSince}}\\t{{.LastUsedSince}}\\t{{.UsageCount}}\\t{{.Shared}}", CACHE_KIND, rows.cache),
  ].join("");
}

function verboseTemplate(format: string, parts: Parts): string {
  const rows = rowsOf(parts, format.startsWith("table"));
  return execute(compileFormat(format), new TemplateObject("*formatter.diskUsageContext", { Images: rows.images, Containers: rows.containers, Volumes: rows.volumes, BuildCache: rows.cache }));
}
