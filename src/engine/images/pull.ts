/** `docker pull`. Registries come later; the images that this installation brings are served from it. */
import { createReadStream } from "node:fs";
import { notImplemented } from "../../lib/errors.ts";
import { type Reference, canonicalName, familiarName, withDefaultTag } from "../../lib/reference.ts";
import type { ImageContext } from "./context.ts";
import { loadArchive } from "./load-images.ts";

export interface PullRequest {
  reference: Reference;
  /** Each message of the progress stream. */
  report: (message: { status: string; id?: string }) => void;
}

/** Throws not-implemented for what would need a registry. */
export async function pullImage(context: ImageContext, { reference, report }: PullRequest): Promise<void> {
  const wanted = withDefaultTag(reference);
  const archive = context.embedded?.[canonicalName(wanted)];
  if (archive === undefined) throw notImplemented(`cannot pull ${familiarName(wanted)}: pulling from registries is not implemented yet; load or import the image instead`);
  const former = context.store.get(canonicalName(wanted))?.target.digest;
  report({ status: `Pulling from ${wanted.path}`, ...(wanted.tag === undefined ? {} : { id: wanted.tag }) });
  await loadArchive(context, createReadStream(archive), { report: () => undefined });
  const digest = context.store.get(canonicalName(wanted))?.target.digest;
  report({ status: `Digest: ${digest}` });
  report({ status: digest === former ? `Status: Image is up to date for ${familiarName(wanted)}` : `Status: Downloaded newer image for ${familiarName(wanted)}` });
}
