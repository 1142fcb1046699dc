/** Events of images. */
import type { Descriptor } from "../../lib/oci-image.ts";
import type { ImageContext } from "./context.ts";
import { bestFor } from "./documents.ts";
import type { ImageName } from "./store.ts";

/** With the image's labels while it is there, and the name. */
export function emitImage(context: ImageContext, action: "create" | "load" | "import" | "tag" | "save" | "delete", image: ImageName, name: string): void {
  context.events.emit({ type: "image", action, actor: { id: image.target.digest, attributes: { ...labelsOf(context, image), name } } });
}

/** Its actor is the name that was pulled. */
export function emitPull(context: ImageContext, target: Descriptor, { id, name }: { id: string; name: string }): void {
  const [image] = context.store.namesOf(target.digest);
  context.events.emit({ type: "image", action: "pull", actor: { id, attributes: { ...(image ? labelsOf(context, image) : {}), name } } });
}

export function emitUntag(context: ImageContext, image: ImageName, name: string): void {
  context.events.emit({ type: "image", action: "untag", actor: { id: image.target.digest, attributes: { name } } });
}

function labelsOf(context: ImageContext, image: ImageName): Record<string, string> {
  if (context.store.namesOf(image.target.digest).length === 0) return {};
  const images = context.documents.readableImagesOf(image.target);
  return (bestFor(images, context.host) ?? images[0])?.document.config.Labels ?? {};
}

/** Its actor is the name that was pushed. */
export function emitPush(context: ImageContext, image: ImageName, { id, name }: { id: string; name: string }): void {
  context.events.emit({ type: "image", action: "push", actor: { id, attributes: { ...labelsOf(context, image), name } } });
}
