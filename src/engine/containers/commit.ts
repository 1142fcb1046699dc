/** `docker commit`: a container as it is becomes an image. */
import { applyChanges } from "../../build/dockerfile/changes.ts";
import { type ContainerConfig, emptyConfig } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import type { Digest } from "../../lib/digest.ts";
import { codeOf, conflict, messageOf, systemError } from "../../lib/errors.ts";
import type { Descriptor, ImageSettings } from "../../lib/oci-image.ts";
import { familiarName, type Reference } from "../../lib/reference.ts";
import type { ContainersContext } from "./context.ts";
import { requireLayer } from "./layer.ts";
import type { LifecycleContext } from "./lifecycle/context.ts";
import { freeze, thaw } from "./lifecycle/pause.ts";
import { emit } from "./lifecycle/state.ts";
import { mergeImage } from "./merge-image.ts";

export interface CommitOptions {
  reference: Reference | undefined;
  /** Settings that win over the container's own. */
  config: ContainerConfig | undefined;
  /** Instructions as in a Dockerfile. */
  changes: readonly string[];
  author: string;
  comment: string;
  /** Freeze the container's processes meanwhile. */
  pause: boolean;
}

/** The image's id. Throws Docker's errors. */
export async function commitContainer(context: ContainersContext, lifecycle: LifecycleContext, ref: string, options: CommitOptions): Promise<Digest> {
  const { id } = context.store.find(ref);
  return await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    refuseEnding(record);
    const paused = options.pause && record.state.status === "running";
    if (paused) await freezeUnlessEnded(lifecycle, record);
    try {
      return await commit(context, record, options);
    } finally {
      // The image is there all the same: one that ended meanwhile needs no thaw.
      if (paused && context.store.get(id)?.state.status === "paused") await thaw(lifecycle, record).catch((error: unknown) => context.warn(`thawing container ${id} after a commit: ${messageOf(error)}`));
    }
  });
}

/** A process that ends in this moment changes nothing any more. */
async function freezeUnlessEnded(lifecycle: LifecycleContext, record: ContainerRecord): Promise<void> {
  await freeze(lifecycle, record).catch((error: unknown) => {
    if (codeOf(error) !== "conflict") throw error;
  });
}

function refuseEnding({ id, state: { status } }: ContainerRecord): void {
  if (status === "dead") throw conflict(`You cannot commit container ${id} which is Dead`);
  if (status === "removing") throw conflict(`You cannot commit container ${id} which is being removed`);
}

async function commit(context: ContainersContext, record: ContainerRecord, options: CommitOptions): Promise<Digest> {
  const { reference, author, comment } = options;
  const { imageManifest, config } = record;
  requireLayer(context.layers, record);
  if (!imageManifest) throw systemError(`container ${record.id} was made without an image: it cannot be committed`);
  const settings = settingsFor(config, options);
  const imageId = await context.layers.commit({ containerId: record.id, base: imageManifest as Descriptor, reference, parent: record.imageId, settings, createdBy: (config.Cmd ?? []).join(" "), author, comment });
  emit(context, record, "commit", { comment, imageID: imageId, imageRef: reference ? familiarName(reference) : "" });
  return imageId;
}

/** The changes apply to what was asked for; what nobody asked for is as in the container. */
function settingsFor(own: ContainerConfig, { config, changes }: Pick<CommitOptions, "config" | "changes">): ImageSettings {
  const changed: ContainerConfig = { ...emptyConfig(), ...applyChanges(imageSettings(config ?? own), changes) } as ContainerConfig;
  mergeImage(changed, imageSettings(own));
  return imageSettings(changed);
}

const kept = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck", "OnBuild", "Shell"] as const;

/** What of a container's settings an image can have. */
function imageSettings(config: ContainerConfig): ImageSettings {
  const set = kept.map((key) => [key, config[key]] as const).filter(([, value]) => value !== null && value !== "");
  return structuredClone<ImageSettings>(Object.fromEntries(set));
}
