/** The rows of `images --format` and friends. */
import { humanSize } from "../../lib/units.ts";
import { familiarRepository, parseReference } from "../../lib/reference.ts";
import type { TemplateObject } from "../../lib/template/values.ts";
import { row } from "./rows.ts";
import type { RowKind } from "./rows.ts";
import { ago, goTime, shortId } from "./text.ts";

export interface ManifestSummary {
  ID: string;
  Available: boolean;
  Size: { Content: number; Total: number };
  Kind: string;
  ImageData?: { Platform: { os: string; architecture: string; variant?: string }; Containers: string[] | null };
}

export interface ImageSummary {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  Created: number;
  Size: number;
  SharedSize: number;
  Containers: number;
  Labels: Record<string, string> | null;
  Manifests?: ManifestSummary[] | null;
}

export const IMAGE_KIND: RowKind = {
  typeName: "*formatter.imageContext",
  headers: { ID: "IMAGE ID", Repository: "REPOSITORY", Tag: "TAG", Digest: "DIGEST", CreatedSince: "CREATED", CreatedAt: "CREATED AT", Size: "SIZE", Containers: "CONTAINERS", SharedSize: "SHARED SIZE", UniqueSize: "UNIQUE SIZE" },
};

export function imageFormat(source: string, options: { quiet: boolean; digests: boolean }): string {
  const { quiet, digests } = options;
  const shown = source === "" ? "table" : source;
  if (shown === "table" && quiet) return "{{.ID}}";
  if (shown === "table") return `table {{.Repository}}\\t{{.Tag}}\\t${digests ? "{{.Digest}}\\t" : ""}{{.ID}}\\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\\t{{.Size}}`;
  if (shown === "raw" && quiet) return "image_id: {{.ID}}";
  if (shown === "raw") return `repository: {{ .Repository }}\ntag: {{.Tag}}\n${digests ? "digest: {{.Digest}}\n" : ""}image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n`;
  if (shown.startsWith("table") && digests && !shown.includes("{{.Digest}}")) return `${shown}\\t{{.Digest}}`;
  return shown;
}

interface Name {
  repository: string;
  tag: string;
  digest: string;
}

const NONE = "<none>";

/** One row for each tag, with its digest when digests are shown; images without names have one of <none>. */
export function imageRows(images: ImageSummary[], options: { truncate: boolean; digests: boolean; quiet?: boolean }): TemplateObject[] {
  return images.flatMap((image) => imageNames(image, options.digests).map((name) => imageRow(image, name, options.truncate)));
}

function imageNames(image: ImageSummary, digests: boolean): Name[] {
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== "<none>:<none>").map(split).filter((tag) => tag !== undefined);
  const digested = (image.RepoDigests ?? []).filter((digest) => digest !== "<none>@<none>").map(split).filter((digest) => digest !== undefined);
  if (tags.length === 0 && digested.length === 0) return [{ repository: NONE, tag: NONE, digest: NONE }];
  const repositories = [...new Set([...tags, ...digested].map((name) => name.repository))].sort();
  return repositories.flatMap((repository) => {
    const own = tags.filter((name) => name.repository === repository).map((name) => name.tag ?? NONE);
    const hashes = digested.filter((name) => name.repository === repository).map((name) => name.digest ?? NONE);
    if (!digests) return (own.length > 0 ? own : [NONE]).map((tag) => ({ repository, tag, digest: hashes[0] ?? NONE }));
    if (own.length === 0) return hashes.map((digest) => ({ repository, tag: NONE, digest }));
    return own.flatMap((tag) => (hashes.length > 0 ? hashes : [NONE]).map((digest) => ({ repository, tag, digest })));
  });
}

function split(name: string): { repository: string; tag: string | undefined; digest: string | undefined } | undefined {
  try {
    const reference = parseReference(name);
    return { repository: familiarRepository(reference), tag: reference.tag, digest: reference.digest };
  } catch {
    return undefined;
  }
}

export function imageRow(image: ImageSummary, name: Name, truncate: boolean): TemplateObject {
  const size = (value: number): string => (value === -1 ? "N/A" : humanSize(value, 3));
  return row(IMAGE_KIND, {
    ID: () => (truncate ? shortId(image.Id) : image.Id),
    Repository: () => name.repository,
    Tag: () => name.tag,
    Digest: () => name.digest,
    CreatedSince: () => (image.Created <= 0 ? "" : ago(image.Created)),
    CreatedAt: () => goTime(new Date(image.Created * 1000)),
    Size: () => humanSize(image.Size, 3),
    Containers: () => (image.Containers === -1 ? "N/A" : String(image.Containers)),
    SharedSize: () => size(image.SharedSize),
    UniqueSize: () => (image.SharedSize === -1 ? "N/A" : humanSize(image.Size - image.SharedSize, 3)),
  });
}
