/** GET /system/df. */
import type { DiskUsageService, Usage } from "../../engine/system/disk-usage.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { atLeast, boolQuery, sendJson, type Call, type Route } from "../route.ts";

const KINDS = ["image", "container", "volume", "build-cache"] as const;
type Kind = (typeof KINDS)[number];

/** What each kind is called in the answers before and since API 1.52. */
const LEGACY_KEYS: Record<Kind, string> = { image: "Images", container: "Containers", volume: "Volumes", "build-cache": "BuildCache" };
const KEYS: Record<Kind, string> = { image: "ImageUsage", container: "ContainerUsage", volume: "VolumeUsage", "build-cache": "BuildCacheUsage" };

const none: Usage<object> = { activeCount: 0, totalCount: 0, totalSize: 0, reclaimable: 0, items: [] };

export function diskUsageRoute(service: DiskUsageService): Route {
  return { method: "GET", path: "/system/df", handler: (call) => diskUsage(service, call) };
}

async function diskUsage(service: DiskUsageService, call: Call): Promise<void> {
  const isNew = atLeast(call.version, 52);
  const isVerbose = isNew && boolQuery(call.query, "verbose");
  const withLegacy = !isVerbose;
  const legacy: Record<string, unknown> = {};
  const current: Record<string, unknown> = {};
  for (const kind of kindsOf(call)) {
    const usage = await usageOf(service, call, kind);
    if (withLegacy) {
      if (kind === "image" && usage.totalSize > 0) legacy["LayersSize"] = usage.totalSize;
      legacy[LEGACY_KEYS[kind]] = usage.items;
    }
    if (isNew) current[KEYS[kind]] = printed(usage);
  }
  sendJson(call, 200, { ...legacy, ...current });
}

function kindsOf(call: Call): readonly Kind[] {
  if (!atLeast(call.version, 42) || !call.query.has("type")) return KINDS;
  const asked = call.query.getAll("type");
  const unknown = asked.find((type) => !KINDS.includes(type as Kind));
  if (unknown !== undefined) throw invalidParameter(`unknown object type: ${unknown}`);
  return KINDS.filter((kind) => asked.includes(kind));
}

async function usageOf(service: DiskUsageService, call: Call, kind: Kind): Promise<Usage<object>> {
  if (kind === "container") return service.containers(call.version[1]);
  if (kind === "volume") return service.volumes();
  if (kind === "build-cache") return none;
  const usage = await service.images();
  if (atLeast(call.version, 44)) return usage;
  return { ...usage, items: usage.items.map((row) => ({ ...row, VirtualSize: row.Size })) };
}

function printed({ activeCount, items, reclaimable, totalCount, totalSize }: Usage<object>): Record<string, unknown> {
  return {
    ...(activeCount === 0 ? {} : { ActiveCount: activeCount }),
    ...(items.length === 0 ? {} : { Items: items }),
    ...(reclaimable === 0 ? {} : { Reclaimable: reclaimable }),
    ...(totalCount === 0 ? {} : { TotalCount: totalCount }),
    ...(totalSize === 0 ? {} : { TotalSize: totalSize }),
  };
}
