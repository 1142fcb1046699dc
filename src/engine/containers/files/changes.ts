/** `docker diff` and `docker export`. */
import type { SnapshotChange } from "../../../core/snapshotter.ts";
import type { ContainersContext } from "../context.ts";
import { requireLayer } from "../layer.ts";
import { emit } from "../lifecycle/state.ts";
import { withFiles } from "./view.ts";

export interface FileChange {
  Path: string;
  /** 0 modified, 1 added, 2 deleted. */
  Kind: number;
}

const kinds: Record<SnapshotChange["kind"], number> = { modified: 0, added: 1, deleted: 2 };

/** Sorted by path. Null when nothing was changed. */
export async function changesOf(context: ContainersContext, ref: string): Promise<FileChange[] | null> {
  const record = context.store.find(ref);
  requireLayer(context.layers, record);
  const changes = await context.layers.changes(record.id);
  return changes.length === 0 ? null : changes.map(({ path, kind }) => ({ Path: path, Kind: kinds[kind] }));
}

/** `send` gets the root file system as a tar archive, without what is mounted on it. */
export function exportFiles(context: ContainersContext, ref: string, send: (bytes: AsyncIterable<Uint8Array>) => Promise<void>): Promise<void> {
  return withFiles(context, ref, { mounts: false, exclusive: false }, async ({ record, view }) => {
    emit(context, record, "export");
    await send(view.archiveAll());
  });
}
