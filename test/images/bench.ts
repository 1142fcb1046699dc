/** An image service on stores of its own in a temporary folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { ContentStore } from "../../src/core/content.ts";
import type { EngineEvent } from "../../src/core/events.ts";
import type { ImageUser } from "../../src/core/image.ts";
import type { Registries } from "../../src/core/registry.ts";
import type { Snapshotter } from "../../src/core/snapshotter.ts";
import { create as createContent } from "../../src/drivers/content-local/index.ts";
import { create as createOverlay2 } from "../../src/drivers/storage-overlay2/index.ts";
import { create as createVfs } from "../../src/drivers/storage-vfs/index.ts";
import { type ImageService, createImageService, imageMigrations } from "../../src/engine/images/service.ts";
import { type Digest, digestOf, hexOf } from "../../src/lib/digest.ts";
import { openDatabase } from "../../src/sys/database.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";

export interface ImageBench extends AsyncDisposable {
  dir: string;
  images: ImageService;
  content: ContentStore;
  snapshotter: Snapshotter;
  events: EngineEvent[];
  /** What containersUsing answers. */
  users: Map<Digest, ImageUser[]>;
  database: DatabaseSync;
  warnings: string[];
}

export function openBench(options: { dir?: string; driver?: "overlay2" | "vfs"; embedded?: Record<string, string>; registries?: Registries; initLayer?: boolean; bootId?: string; containersGeneration?: () => number } = {}): ImageBench {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "gantry-images-"));
  const content = createContent(join(dir, "content"));
  const driver = options.driver ?? "overlay2";
  const snapshotter = (driver === "vfs" ? createVfs : createOverlay2)(join(dir, "layers", driver), { initLayer: options.initLayer ?? false });
  const database = openDatabase(join(dir, "state.db"), imageMigrations);
  const events: EngineEvent[] = [];
  const warnings: string[] = [];
  const users = new Map<Digest, ImageUser[]>();
  const images = createImageService({
    database,
    content,
    snapshotter,
    events: { emit: (event) => void events.push(event) },
    host: { os: "linux", architecture: "amd64" },
    containersUsing: (id) => users.get(id) ?? [],
    warn: (message) => void warnings.push(message),
    bootId: options.bootId ?? "one",
    ...(options.registries ? { registries: options.registries } : {}),
    ...(options.embedded ? { embedded: options.embedded } : {}),
    ...(options.containersGeneration ? { containersGeneration: options.containersGeneration } : {}),
  });
  return {
    dir,
    images,
    content,
    snapshotter,
    events,
    users,
    database,
    warnings,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([snapshotter.settled(), content.settled()]);
      if (database.isOpen) database.close();
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

export async function* pieces(bytes: Buffer, size = 64 << 10): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Loads and gives what was reported. */
export async function load(bench: ImageBench, bytes: Buffer): Promise<string> {
  let text = "";
  await bench.images.load(pieces(bytes), { report: (line) => void (text += line) });
  return text;
}

export interface Layout {
  files: { name: string; data: Buffer }[];
  manifests: object[];
}

export interface LayerBytes {
  bytes: Buffer;
  diffId?: string;
  mediaType?: string;
}

/** An OCI layout with one image of these layers. */
export function layoutOf(name: string | undefined, layers: LayerBytes[], settings: object = {}, document: object = {}): Buffer {
  const blobs = new Map<string, Buffer>();
  const add = (mediaType: string, bytes: Buffer): { mediaType: string; digest: Digest; size: number } => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const config = add(
    "application/vnd.oci.image.config.v1+json",
    Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", config: settings, rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId ?? digestOf(layer.bytes)) }, history: layers.map(() => ({ created: "2026-01-02T03:04:05Z", created_by: "test" })), ...document })),
  );
  const manifest = add(
    "application/vnd.oci.image.manifest.v1+json",
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers: layers.map((layer) => add(layer.mediaType ?? "application/vnd.oci.image.layer.v1.tar", layer.bytes)) })),
  );
  const annotations = name === undefined ? {} : { annotations: { "io.containerd.image.name": name } };
  return tarOf(
    { name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", data: JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, ...annotations }] }) },
    ...[...blobs].map(([digest, data]) => ({ name: `blobs/sha256/${hexOf(digest as Digest)}`, data })),
  );
}
