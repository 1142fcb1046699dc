/** The documents of an image (OCI image-spec 1.1, Docker manifest schema 2), read strictly: one document is one kind, digests are digests, sizes are sizes. */
import { type Digest, parseDigest } from "./digest.ts";
import { invalidParameter } from "./errors.ts";
import type { Platform } from "./platform.ts";
import { parseStrictJson } from "./strict-json.ts";

export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  platform?: Platform;
  annotations?: Record<string, string>;
  artifactType?: string;
  /** Where else it can be had. */
  urls?: string[];
}

export interface Index {
  kind: "index";
  manifests: Descriptor[];
}

export interface Manifest {
  kind: "manifest";
  config: Descriptor;
  layers: Descriptor[];
  annotations?: Record<string, string>;
}

/** The settings for containers of an image; names are the document's own. Absent means absent in the document. */
export interface ImageSettings {
  User?: string;
  ExposedPorts?: Record<string, object>;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  StopSignal?: string;
  ArgsEscaped?: boolean;
  Healthcheck?: ImageHealthcheck;
  OnBuild?: string[];
  Shell?: string[];
}

/** Durations in nanoseconds. */
export interface ImageHealthcheck {
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
}

export interface HistoryEntry {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** The image configuration. */
export interface ImageDocument {
  created?: string;
  author?: string;
  comment?: string;
  architecture: string;
  os: string;
  variant?: string;
  "os.version"?: string;
  config: ImageSettings;
  rootfs: { type: string; diff_ids: Digest[] };
  history: HistoryEntry[];
}

/** Larger documents are refused, as registries do. */
export const mostManifestBytes = 4 << 20;
export const mostConfigBytes = 8 << 20;

export const mediaTypes = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
} as const;

export const isIndexType = (mediaType: string): boolean => mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex;
export const isManifestType = (mediaType: string): boolean => mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;

/** A layer that its publisher does not allow others to pass on: it is had from its urls. */
export const isNonDistributable = (mediaType: string): boolean => mediaType.startsWith("application/vnd.docker.image.rootfs.foreign.diff.tar") || mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.v1.tar");

type Json = Record<string, unknown>;

const malformed = (what: string): Error => invalidParameter(`invalid image document: ${what}`);

function object(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw malformed(`${what} is not an object`);
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

const string =
  (what: string) =>
  (value: unknown): string => {
    if (typeof value === "string") return value;
    throw malformed(`${what} is not a string`);
  };

const list =
  <T>(what: string, item: (value: unknown) => T) =>
  (value: unknown): T[] => {
    if (Array.isArray(value)) return value.map(item);
    throw malformed(`${what} is not a list`);
  };

const map =
  <T>(what: string, item: (value: unknown) => T) =>
  (value: unknown): Record<string, T> => {
    const result = Object.create(null) as Record<string, T>;
    for (const [key, entry] of Object.entries(object(value, what))) result[key] = item(entry);
    return result;
  };

const number =
  (what: string) =>
  (value: unknown): number => {
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw malformed(`${what} is not a number`);
  };

function strings(value: unknown, what: string): string[] | undefined {
  return optional(value, list(what, string(what)));
}

/** An object without its absent values. */
function present<T extends object>(value: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}

export function readDescriptor(value: unknown): Descriptor {
  const json = object(value, "descriptor");
  const size = number("size")(json["size"]);
  if (!Number.isSafeInteger(size) || size < 0) throw malformed(`size ${size} is not a size`);
  return present<Descriptor>({
    mediaType: optional(json["mediaType"], string("mediaType")) ?? "",
    digest: parseDigest(json["digest"]),
    size,
    platform: optional(json["platform"], readPlatform),
    annotations: optional(json["annotations"], map("annotations", string("annotation"))),
    artifactType: optional(json["artifactType"], string("artifactType")),
    urls: strings(json["urls"], "urls"),
  });
}

function readPlatform(value: unknown): Platform {
  const json = object(value, "platform");
  return present<Platform>({
    os: optional(json["os"], string("os")) ?? "",
    architecture: optional(json["architecture"], string("architecture")) ?? "",
    variant: optional(json["variant"], string("variant")),
    "os.version": optional(json["os.version"], string("os.version")),
  });
}

/** An index or a manifest, told apart by what it has; one that could be read as both is refused. */
export function readManifest(bytes: Uint8Array): Index | Manifest {
  const json = object(parseStrictJson(bytes, mostManifestBytes), "manifest");
  const indexLike = json["manifests"] !== undefined;
  const manifestLike = json["config"] !== undefined || json["layers"] !== undefined || json["fsLayers"] !== undefined;
  const mediaType = optional(json["mediaType"], string("mediaType"));
  if (json["schemaVersion"] === 1 || json["fsLayers"] !== undefined) throw malformed("manifest schema version 1 is not supported");
  if (indexLike === manifestLike) throw malformed("it must have either manifests or config and layers");
  if (mediaType !== undefined && (indexLike ? isManifestType(mediaType) : isIndexType(mediaType))) throw malformed(`its content does not fit its media type ${mediaType}`);
  if (indexLike) return { kind: "index", manifests: list("manifests", readDescriptor)(json["manifests"]) };
  return present<Manifest>({
    kind: "manifest",
    config: readDescriptor(json["config"]),
    layers: optional(json["layers"], list("layers", readDescriptor)) ?? [],
    annotations: optional(json["annotations"], map("annotations", string("annotation"))),
  });
}

function readHistory(value: unknown): HistoryEntry {
  const json = object(value, "history");
  return present<HistoryEntry>({
    created: optional(json["created"], string("created")),
    created_by: optional(json["created_by"], string("created_by")),
    author: optional(json["author"], string("author")),
    comment: optional(json["comment"], string("comment")),
    empty_layer: json["empty_layer"] === true ? true : undefined,
  });
}

function readHealthcheck(value: unknown): ImageHealthcheck {
  const json = object(value, "Healthcheck");
  return present<ImageHealthcheck>({
    Test: strings(json["Test"], "Test"),
    Interval: optional(json["Interval"], number("Interval")),
    Timeout: optional(json["Timeout"], number("Timeout")),
    StartPeriod: optional(json["StartPeriod"], number("StartPeriod")),
    StartInterval: optional(json["StartInterval"], number("StartInterval")),
    Retries: optional(json["Retries"], number("Retries")),
  });
}

function readSettings(value: unknown): ImageSettings {
  const json = object(value, "config");
  const empty = (): object => ({});
  return present<ImageSettings>({
    User: optional(json["User"], string("User")),
    ExposedPorts: optional(json["ExposedPorts"], map("ExposedPorts", empty)),
    Env: strings(json["Env"], "Env"),
    Entrypoint: strings(json["Entrypoint"], "Entrypoint"),
    Cmd: strings(json["Cmd"], "Cmd"),
    Volumes: optional(json["Volumes"], map("Volumes", empty)),
    WorkingDir: optional(json["WorkingDir"], string("WorkingDir")),
    Labels: optional(json["Labels"], map("Labels", string("label"))),
    StopSignal: optional(json["StopSignal"], string("StopSignal")),
    ArgsEscaped: json["ArgsEscaped"] === true ? true : undefined,
    Healthcheck: optional(json["Healthcheck"], readHealthcheck),
    OnBuild: strings(json["OnBuild"], "OnBuild"),
    Shell: strings(json["Shell"], "Shell"),
  });
}

export function readImageDocument(bytes: Uint8Array): ImageDocument {
  const json = object(parseStrictJson(bytes, mostConfigBytes), "image configuration");
  const rootfs = optional(json["rootfs"], (value) => object(value, "rootfs")) ?? {};
  if (json["manifests"] !== undefined || json["layers"] !== undefined) throw malformed("it is a manifest, not a configuration");
  return present<ImageDocument>({
    created: optional(json["created"], string("created")),
    author: optional(json["author"], string("author")),
    comment: optional(json["comment"], string("comment")),
    architecture: optional(json["architecture"], string("architecture")) ?? "",
    os: optional(json["os"], string("os")) ?? "",
    variant: optional(json["variant"], string("variant")),
    "os.version": optional(json["os.version"], string("os.version")),
    config: optional(json["config"], readSettings) ?? {},
    rootfs: { type: "layers", diff_ids: optional(rootfs["diff_ids"], list("diff_ids", parseDigest)) ?? [] },
    history: optional(json["history"], list("history", readHistory)) ?? [],
  });
}
