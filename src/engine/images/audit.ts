/** Whether every blob and every layer is whole and belongs to something, and every image has what it names. */
import type { Audit, Finding } from "../../core/audit.ts";
import type { Digest } from "../../lib/digest.ts";
import { messageOf } from "../../lib/errors.ts";
import { collect, garbageOf, rootsOf } from "./collect.ts";
import type { ImageContext } from "./context.ts";
import { familiarNameOf } from "./find.ts";
import type { ImageName } from "./store.ts";

export interface AuditOptions {
  /** Containers that exist, asked each time: some may be in the making. */
  containers: () => ReadonlySet<string>;
  /** Between two looks at what seems to belong to nobody. */
  patienceMilliseconds?: number;
}

export async function auditImages(context: ImageContext, { containers, patienceMilliseconds = 2000 }: AuditOptions): Promise<Audit> {
  const { content, snapshotter, store } = context;
  const blobs = content.list();
  const damaged = await damagedOf(context, blobs);
  const garbage = await unneeded(context, containers, patienceMilliseconds);
  const strays = (await snapshotter.strays?.()) ?? [];
  const findings: Finding[] = [
    ...damaged.map((digest) => damagedBlob(context, digest)),
    ...[...garbage.blobs].filter((digest) => !damaged.includes(digest)).map((digest): Finding => ({ kind: "blob", id: digest, problem: "no image has it", repair: () => drop(context, containers) })),
    ...[...garbage.snapshots].map((key): Finding => ({ kind: "layer", id: key, problem: "no image and no container has it", repair: () => drop(context, containers) })),
    ...orphans(context, garbage.snapshots),
    ...content.strays().map((path): Finding => ({ kind: "file", id: path, problem: "it is no blob and no download", repair: () => content.discardStray(path) })),
    ...strays.map((stray): Finding => ({ kind: "layer", ...stray })),
    ...[...store.all()].flatMap((image) => incomplete(context, image)),
  ];
  const bytes = blobs.reduce((sum, digest) => sum + (content.size(digest) ?? 0), 0);
  return { counts: { images: new Set(store.targets()).size, blobs: blobs.length, blobBytes: bytes, downloads: content.ingests().length, layers: snapshotter.list().length }, findings };
}

async function damagedOf({ content }: ImageContext, blobs: readonly Digest[]): Promise<Digest[]> {
  const damaged: Digest[] = [];
  for (const digest of blobs) if (!(await content.verify(digest).catch(() => false)) && content.has(digest)) damaged.push(digest);
  return damaged;
}

/** An image that needs it can be pulled or loaded again. */
const damagedBlob = ({ content, documents }: ImageContext, digest: Digest): Finding => ({
  kind: "blob",
  id: digest,
  problem: "its bytes are not those of its digest",
  repair: () => {
    content.delete(digest);
    documents.forget(digest);
  },
});

/** What belongs to nobody at two moments: a container's layer is there before its row. */
async function unneeded(context: ImageContext, containers: AuditOptions["containers"], patience: number): Promise<{ blobs: Set<Digest>; snapshots: Set<string> }> {
  const look = (): ReturnType<typeof garbageOf> => garbageOf(context, { targets: rootsOf(context), isLeftOver: (key) => !containers().has(key) });
  const first = look();
  if (first.blobs.size === 0 && first.snapshots.size === 0) return { blobs: new Set(), snapshots: new Set() };
  await new Promise((resolve) => setTimeout(resolve, patience));
  const { blobs, snapshots } = look();
  return { blobs: new Set([...first.blobs].filter((digest) => blobs.has(digest))), snapshots: new Set([...first.snapshots].filter((key) => snapshots.has(key))) };
}

async function drop(context: ImageContext, containers: AuditOptions["containers"]): Promise<void> {
  await collect(context, { containers: containers() });
}

/** Layers whose parent is gone; they are unpacked again when they are needed. */
function orphans({ snapshotter }: ImageContext, unneededKeys: ReadonlySet<string>): Finding[] {
  return snapshotter
    .list()
    .filter(({ key, parent }) => parent !== undefined && !snapshotter.has(parent) && !unneededKeys.has(key))
    .map(({ key, kind, parent }): Finding => ({ kind: "layer", id: key, problem: `its parent ${parent} is missing`, ...(kind === "active" ? { remedy: "remove the container" } : { repair: () => snapshotter.remove(key) }) }));
}

function incomplete({ documents, content }: ImageContext, image: ImageName): Finding[] {
  const finding = (problem: string): Finding => ({ kind: "image", id: familiarNameOf(image), problem, remedy: "pull or load it again, or remove it" });
  try {
    if (!content.has(image.target.digest)) return [finding(`its manifest ${image.target.digest} is missing`)];
    const found = documents.imagesOf(image.target);
    const missing = found.flatMap(({ manifest }) => manifest.layers.filter(({ digest }) => !content.has(digest)).map(({ digest }) => finding(`its layer ${digest} is missing`)));
    return found.length === 0 ? [finding("no platform of it is here")] : missing;
  } catch (error) {
    return [finding(messageOf(error))];
  }
}
