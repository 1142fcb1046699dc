/** A layer that comes as an archive, not as a blob: unpacked and kept at once. */
import type { UnpackedBlob } from "../../core/content.ts";
import type { Lease } from "../../core/leases.ts";
import type { ImageContext } from "./context.ts";

/** `key`: an active snapshot, which can be committed afterwards. */
export async function receiveLayer({ content, snapshotter }: ImageContext, { key, lease, archive }: { key: string; lease: Lease; archive: AsyncIterable<Uint8Array> }): Promise<UnpackedBlob> {
  await using target = await snapshotter.unpackTarget(key);
  await using receiver = content.receive({ target });
  await receiver.receive(archive);
  return await receiver.finish({ naming: (digest) => lease.blob(digest) });
}
