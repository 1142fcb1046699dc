/** The rows of `ps`. */
import { quote } from "../../lib/strconv.ts";
import { humanSize } from "../../lib/units.ts";
import { familiarImage } from "../parse/reference.ts";
import { TemplateObject } from "../../lib/template/values.ts";
import { row } from "./rows.ts";
import type { RowKind } from "./rows.ts";
import { ago, ellipsis, goTime, labelText, shortId } from "./text.ts";

export interface PortSummary {
  IP?: string;
  PrivatePort: number;
  PublicPort?: number;
  Type: string;
}

export interface ContainerSummary {
  Id: string;
  Names: string[] | null;
  Image: string;
  ImageID: string;
  Command: string;
  Created: number;
  Ports: PortSummary[] | null;
  Labels: Record<string, string> | null;
  State: string;
  Status: string;
  SizeRw?: number;
  SizeRootFs?: number;
  Mounts?: { Name?: string; Source?: string; Driver?: string }[];
  NetworkSettings?: { Networks?: Record<string, unknown> | null };
  ImageManifestDescriptor?: { platform?: { architecture: string; os: string; variant?: string } };
  Health?: { Status?: string };
}

export const CONTAINER_KIND: RowKind = {
  typeName: "*formatter.ContainerContext",
  headers: {
    ID: "CONTAINER ID", Names: "NAMES", Image: "IMAGE", Command: "COMMAND", CreatedAt: "CREATED AT", RunningFor: "CREATED", Ports: "PORTS", State: "STATE",
    Status: "STATUS", Size: "SIZE", Labels: "LABELS", Mounts: "MOUNTS", LocalVolumes: "LOCAL VOLUMES", Networks: "NETWORKS", Platform: "PLATFORM", HealthStatus: "HEALTH STATUS",
  },
};

const TABLE = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";

const RAW = `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
`;

export function containerFormat(source: string, options: { quiet: boolean; size: boolean }): string {
  const { quiet, size } = options;
  if (source === "table" || source === "") return quiet ? "{{.ID}}" : TABLE + (size ? "\\t{{.Size}}" : "");
  if (source === "raw") return quiet ? "container_id: {{.ID}}" : RAW + (size ? "size: {{.Size}}\\n" : "");
  return quiet ? "{{.ID}}" : source;
}

export function containerRow(container: ContainerSummary, truncate: boolean): TemplateObject {
  return row(CONTAINER_KIND, {
    ID: () => (truncate ? shortId(container.Id) : container.Id),
    Names: () => names(container, truncate),
    Image: () => imageText(container, truncate),
    Command: () => quote(truncate ? ellipsis(container.Command, 20) : container.Command),
    CreatedAt: () => goTime(new Date(container.Created * 1000)),
    RunningFor: () => ago(container.Created),
    Ports: () => portsText(container.Ports ?? []),
    State: () => container.State,
    Status: () => container.Status,
    Size: () => sizeText(container),
    Labels: () => labelText(container.Labels),
    Label: (name: string) => container.Labels?.[name] ?? "",
    Mounts: () => (container.Mounts ?? []).map((mount) => mount.Name || mount.Source || "").map((name) => (truncate ? ellipsis(name, 15) : name)).join(","),
    LocalVolumes: () => String((container.Mounts ?? []).filter((mount) => mount.Driver === "local").length),
    Networks: () => Object.keys(container.NetworkSettings?.Networks ?? {}).join(","),
    Platform: () => platform(container),
    HealthStatus: () => healthStatus(container),
  });
}

/** Cut output shows one name, and none that a legacy link gave. */
function names(container: ContainerSummary, truncate: boolean): string {
  const all = (container.Names ?? []).map((name) => name.replace(/^\//, ""));
  return truncate ? (all.find((name) => !name.includes("/")) ?? "") : all.join(",");
}

function imageText(container: ContainerSummary, truncate: boolean): string {
  const { Image: image } = container;
  if (image === "") return "<no image>";
  if (!truncate) return image;
  const cut = shortId(container.ImageID);
  return cut === shortId(image) ? cut : familiarImage(image);
}

function sizeText(container: ContainerSummary): string {
  const own = humanSize(container.SizeRw ?? 0, 3);
  return (container.SizeRootFs ?? 0) > 0 ? `${own} (virtual ${humanSize(container.SizeRootFs ?? 0, 3)})` : own;
}

function platform(container: ContainerSummary): unknown {
  const found = container.ImageManifestDescriptor?.platform;
  if (!found) return null;
  const { os, architecture, variant } = found;
  return new TemplateObject("*formatter.Platform", { architecture, os, ...(variant ? { variant } : {}) }, { text: () => [os, architecture, variant].filter(Boolean).join("/") });
}

function healthStatus(container: ContainerSummary): string {
  if (container.Health?.Status) return container.Health.Status;
  const health = /\((?:health: )?(healthy|unhealthy|starting)\)$/.exec(container.Status)?.[1];
  return health ?? "";
}

/** Ports as Docker shows them: ranges joined, mappings to another number one by one at the end. */
export function portsText(ports: PortSummary[]): string {
  const groups = new Map<string, { first: number; last: number }>();
  const result: string[] = [];
  const mappings: string[] = [];
  for (const port of [...ports].sort(comparePorts)) {
    let key = port.Type;
    if (port.IP) {
      if (port.PublicPort !== port.PrivatePort) {
        mappings.push(`${joinHostPort(port.IP, String(port.PublicPort ?? 0))}->${port.PrivatePort}/${port.Type}`);
        continue;
      }
      key = `${port.IP}/${port.Type}`;
    }
    const group = groups.get(key);
    if (group && port.PrivatePort === group.last + 1) group.last = port.PrivatePort;
    else {
      if (group) result.push(groupText(key, group));
      groups.set(key, { first: port.PrivatePort, last: port.PrivatePort });
    }
  }
  for (const [key, group] of groups) result.push(groupText(key, group));
  return [...result, ...mappings].join(", ");
}

function groupText(key: string, group: { first: number; last: number }): string {
  const slash = key.lastIndexOf("/");
  const range = group.first === group.last ? String(group.first) : `${group.first}-${group.last}`;
  return slash < 0 ? `${range}/${key}` : `${joinHostPort(key.slice(0, slash), range)}->${range}/${key.slice(slash + 1)}`;
}

export const joinHostPort = (host: string, port: string): string => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);

function comparePorts(one: PortSummary, two: PortSummary): number {
  return one.PrivatePort - two.PrivatePort || compareText(one.IP ?? "", two.IP ?? "") || (one.PublicPort ?? 0) - (two.PublicPort ?? 0) || compareText(one.Type, two.Type);
}

const compareText = (one: string, two: string): number => Number(one.includes(":")) - Number(two.includes(":")) || (one < two ? -1 : one > two ? 1 : 0);
