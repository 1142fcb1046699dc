/** Images that this installation brings: a pull of one of their names loads them, no registry is asked. */
import { createReadStream } from "node:fs";
import { type Reference, canonicalName, familiarName } from "../../../lib/reference.ts";
import type { ImageContext } from "../context.ts";
import { loadArchive } from "../load-images.ts";
import type { PullMessage } from "./progress.ts";

/** False when there is none of this name. */
export async function loadEmbedded(context: ImageContext, reference: Reference, report: (message: PullMessage) => void): Promise<boolean> {
  const name = canonicalName(reference);
  const archive = context.embedded?.[name];
  if (archive === undefined) return false;
  const former = context.store.get(name)?.target.digest;
  report({ status: `Pulling from ${reference.path}`, ...(reference.tag === undefined ? {} : { id: reference.tag }) });
  await loadArchive(context, createReadStream(archive), { report: () => undefined });
  const digest = context.store.get(name)?.target.digest;
  report({ status: `Digest: ${digest}` });
  report({ status: `Status: ${digest === former ? "Image is up to date" : "Downloaded newer image"} for ${familiarName(reference)}` });
  return true;
}
