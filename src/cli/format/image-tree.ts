/** `images` as it looks by default: one line for each name, with the space it takes; --tree adds a line for each platform. */
import { humanSize } from "../../lib/units.ts";
import type { ImageSummary } from "./image.ts";
import { shortId } from "./text.ts";

interface Details {
  id: string;
  usage: string;
  content: string;
  inUse: boolean;
}

interface Entry {
  names: string[];
  details: Details;
  children: { platform: string; details: Details }[];
}

const GAP = "   ";
const SMALLEST_NAME_COLUMN = 12;

export function imageTree(images: ImageSummary[], options: { expanded: boolean; width: number }): string {
  const entries = images.flatMap((image) => entriesOf(image, options.expanded)).sort(compareEntries);
  const spaced = entries.some((entry) => entry.children.length > 0);
  const anyInUse = entries.some((entry) => entry.details.inUse || entry.children.some((child) => child.details.inUse));
  const labels = entries.flatMap((entry) => [...entry.names, ...entry.children.map((child) => `└─ ${child.platform}`), ...(entry.names.length === 0 ? ["<untagged>"] : [])]);
  const layout = fitColumns(Math.max("IMAGE".length, ...labels.map((label) => label.length)), options.width);
  const lines: string[] = [];
  if (options.width > 0) lines.push("i Info →   U  In Use".padStart(options.width));
  lines.push(line(layout, ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]));
  for (const entry of entries) {
    const [last = "<untagged>"] = entry.names.slice(-1);
    lines.push(...entry.names.slice(0, -1));
    lines.push(line(layout, cells(last, entry.details, anyInUse)));
    if (entry.children.length > 0 || spaced) lines.push(...entry.children.map((child, index) => line(layout, cells(`${index === entry.children.length - 1 ? "└─" : "├─"} ${child.platform}`, child.details, anyInUse))), "");
  }
  return `${lines.join("\n")}\n`;
}

const cells = (name: string, details: Details, anyInUse: boolean): string[] => [name, shortId(details.id), details.usage, details.content, anyInUse ? (details.inUse ? "U" : " ") : ""];

interface Layout {
  nameWidth: number;
  columns: number;
}

const WIDTHS = [12, 10, 12, 5];

/** Columns on the right go when the terminal is too narrow for them. */
function fitColumns(widest: number, width: number): Layout {
  if (width === 0) return { nameWidth: widest, columns: WIDTHS.length };
  let left = Math.max(width, 20);
  let columns = 0;
  for (const column of WIDTHS) {
    if (left - column - GAP.length < SMALLEST_NAME_COLUMN) break;
    left -= column + GAP.length;
    columns++;
  }
  return { nameWidth: Math.min(left, widest), columns };
}

function line(layout: Layout, [name = "", ...rest]: string[]): string {
  const shown = name.padEnd(layout.nameWidth);
  const right = (index: number): boolean => index === 1 || index === 2;
  return [shown, ...rest.slice(0, layout.columns).map((cell, index) => (right(index) ? cell.padStart(WIDTHS[index] ?? 0) : cell.padEnd(WIDTHS[index] ?? 0)))].join(GAP);
}

function entriesOf(image: ImageSummary, expanded: boolean): Entry[] {
  const manifests = image.Manifests ?? [];
  const platforms = manifests.filter((manifest) => manifest.Kind === "image");
  const details: Details = {
    id: image.Id,
    usage: humanSize(image.Size, 3),
    content: humanSize(manifests.reduce((sum, manifest) => sum + manifest.Size.Content, 0), 3),
    inUse: image.Containers > 0 || platforms.some((manifest) => (manifest.ImageData?.Containers ?? []).length > 0),
  };
  const names = [...(image.RepoTags ?? [])].sort();
  if (!expanded) return (names.length === 0 ? [[]] : names.map((name) => [name])).map((own) => ({ names: own, details, children: [] }));
  const children = platforms.map((manifest) => {
    const { os = "", architecture = "", variant } = manifest.ImageData?.Platform ?? {};
    return {
      platform: [os, architecture, variant].filter(Boolean).join("/"),
      details: { id: manifest.ID, usage: humanSize(manifest.Size.Total, 3), content: humanSize(manifest.Size.Content, 3), inUse: (manifest.ImageData?.Containers ?? []).length > 0 },
    };
  });
  return [{ names, details, children }];
}

/** By name; images without one come last. */
function compareEntries(one: Entry, two: Entry): number {
  const [first = "", second = ""] = [one.names[0], two.names[0]];
  if ((first === "") !== (second === "")) return first === "" ? 1 : -1;
  return first < second ? -1 : first > second ? 1 : 0;
}
