/** Images as the engine uses them. */
import type { Digest } from "../lib/digest.ts";
import type { Descriptor, ImageSettings } from "../lib/oci-image.ts";
import type { Platform } from "../lib/platform.ts";

/** One platform's image, ready to become a container. */
export interface ImageForRun {
  /** Digest of the index or manifest that the name points to: the image's Id. */
  id: Digest;
  /** The familiar name ("busybox:latest") when found by one, else the id. */
  ref: string;
  platform: Platform;
  config: ImageSettings;
  /** The topmost layer's snapshot; undefined for an image without layers. */
  chainId: Digest | undefined;
  /** Bytes of blobs and unpacked layers, as `docker images` shows. */
  size: number;
  manifest: Descriptor;
}

/** Who uses an image, for the conflicts of a removal. */
export interface ImageUser {
  containerId: string;
  running: boolean;
  /** As the user named the image at create. */
  imageRef: string;
  /** Digest of the manifest of its platform, when known. */
  manifest?: Digest;
}
