/** The rows of `system df -v` about the build cache. */
import { humanSize } from "../../lib/units.ts";
import type { TemplateObject } from "../../lib/template/values.ts";
import { row } from "./rows.ts";
import type { RowKind } from "./rows.ts";
import { ago, shortId } from "./text.ts";

export interface CacheRecord {
  ID: string;
  Parents?: string[] | null;
  Type: string;
  Description?: string;
  InUse: boolean;
  Shared: boolean;
  Size: number;
  CreatedAt: string;
  LastUsedAt?: string | null;
  UsageCount: number;
}

export const CACHE_KIND: RowKind = {
  typeName: "*formatter.buildCacheContext",
  headers: { ID: "CACHE ID", Parent: "PARENT", CacheType: "CACHE TYPE", Size: "SIZE", CreatedSince: "CREATED", LastUsedSince: "LAST USED", UsageCount: "USAGE", Shared: "SHARED", Description: "DESCRIPTION", InUse: "IN USE" },
};

export const bytesText = (bytes: number): string => humanSize(bytes);

export function cacheRow(record: CacheRecord, truncate: boolean): TemplateObject {
  const since = (time: string | null | undefined): string => (time ? ago(Date.parse(time) / 1000) : "");
  const id = truncate ? shortId(record.ID) : record.ID;
  return row(CACHE_KIND, {
    ID: () => (record.InUse ? `${id}*` : id),
    Parent: () => (record.Parents ?? []).join(", "),
    CacheType: () => record.Type,
    Description: () => record.Description ?? "",
    Size: () => humanSize(record.Size, 3),
    CreatedSince: () => since(record.CreatedAt),
    LastUsedSince: () => since(record.LastUsedAt),
    UsageCount: () => String(record.UsageCount),
    InUse: () => String(record.InUse),
    Shared: () => String(record.Shared),
  });
}
