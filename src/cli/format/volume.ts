/** The rows of `volume ls`. */
import { humanSize } from "../../lib/units.ts";
import type { TemplateObject } from "../../lib/template/values.ts";
import { row } from "./rows.ts";
import type { RowKind } from "./rows.ts";
import { labelText } from "./text.ts";

export interface VolumeSummary {
  Name: string;
  Driver: string;
  Scope: string;
  Mountpoint: string;
  Labels: Record<string, string> | null;
  UsageData?: { Size: number; RefCount: number } | null;
  ClusterVolume?: { Spec: { Group?: string; Availability?: string }; Info?: { VolumeID?: string }; PublishStatus?: unknown[] | null } | null;
}

export const VOLUME_KIND: RowKind = {
  typeName: "*formatter.volumeContext",
  headers: { ID: "ID", Name: "VOLUME NAME", Group: "GROUP", Driver: "DRIVER", Scope: "SCOPE", Availability: "AVAILABILITY", Mountpoint: "MOUNTPOINT", Labels: "LABELS", Links: "LINKS", Size: "SIZE", Status: "STATUS" },
};

export function volumeRow(volume: VolumeSummary): TemplateObject {
  const { UsageData: usage, ClusterVolume: cluster } = volume;
  return row(VOLUME_KIND, {
    Name: () => volume.Name,
    Driver: () => volume.Driver,
    Scope: () => volume.Scope,
    Mountpoint: () => volume.Mountpoint,
    Labels: () => labelText(volume.Labels),
    Label: (name: string) => volume.Labels?.[name] ?? "",
    Links: () => (usage ? String(usage.RefCount) : "N/A"),
    Size: () => (usage ? humanSize(usage.Size) : "N/A"),
    Group: () => (cluster ? (cluster.Spec.Group ?? "") : "N/A"),
    Availability: () => (cluster ? (cluster.Spec.Availability ?? "") : "N/A"),
    Status: () => clusterStatus(cluster),
  });
}

function clusterStatus(cluster: VolumeSummary["ClusterVolume"]): string {
  if (!cluster) return "N/A";
  if (!cluster.Info?.VolumeID) return "pending creation";
  const nodes = cluster.PublishStatus?.length ?? 0;
  return nodes === 0 ? "created" : nodes === 1 ? "in use (1 node)" : `in use (${nodes} nodes)`;
}
