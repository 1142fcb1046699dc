/** Unpacks images' layers into snapshots, each once, however many ask for it at the same time. */
import { randomUUID } from "node:crypto";
import { type ContentStore, ParentNeeded, type UnpackOptions, type UnpackedBlob, type UnpackProgress } from "../../core/content.ts";
import type { Snapshotter } from "../../core/snapshotter.ts";
import type { Digest } from "../../lib/digest.ts";
import { GantryError, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { Limiter } from "../../lib/limiter.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import type { PlatformImage } from "./documents.ts";
import type { Leases } from "../../core/leases.ts";

/** Of blobs that are here; the work is the CPU's. */
const mostAtOnce = 2;
/** Of blobs that are being downloaded: most of them wait for the network. */
const mostArriving = 3;

/** For a snapshot that is being unpacked: whatever has such a key at the next start is garbage. */
export const temporaryKey = (): string => `unpack-${randomUUID()}`;

/** For layers that are being downloaded, and for who watches. */
export interface UnpackWatch {
  /** Ends when the blob is here or can be unpacked as it arrives. */
  arriving: (blob: Digest) => Promise<void>;
  unpacking: (blob: Digest, progress: UnpackProgress) => void;
  unpacked: (blob: Digest) => void;
}

interface Layer {
  name: Digest;
  parent: Digest | undefined;
  blob: Descriptor;
  diffId: Digest;
  watch: UnpackWatch | undefined;
  verified: boolean;
}

export interface UnpackAllOptions {
  watch?: UnpackWatch;
  /** Blobs whose bytes were compared with their digests just now. */
  verified?: ReadonlySet<Digest>;
}

interface Attempt {
  /** What the snapshot is prepared on; undefined when the driver learns it at commit. */
  parent: Digest | undefined;
  merged: boolean;
  below: Promise<void>;
}

export class Layers {
  readonly #content: ContentStore;
  readonly #snapshotter: Snapshotter;
  readonly #leases: Leases;
  readonly #underWay = new Map<Digest, Promise<void>>();
  readonly #bytes = new Map<Digest, number>();
  readonly #here = new Limiter(mostAtOnce);
  readonly #arriving = new Limiter(mostArriving);

  constructor(content: ContentStore, snapshotter: Snapshotter, leases: Leases) {
    this.#content = content;
    this.#snapshotter = snapshotter;
    this.#leases = leases;
  }

  isUnpacked(image: PlatformImage): boolean {
    const top = image.chain.at(-1);
    return top === undefined || this.#snapshotter.has(top);
  }

  /** Its layer at a place, bottom first, is unpacked. */
  hasLayer(image: PlatformImage, at: number): boolean {
    const name = image.chain[at];
    return name !== undefined && this.#snapshotter.has(name);
  }

  /** 0 for a layer that is not unpacked. */
  async layerBytes(name: Digest): Promise<number> {
    if (!this.#snapshotter.has(name)) return 0;
    let bytes = this.#bytes.get(name);
    if (bytes === undefined) {
      ({ bytes } = await this.#snapshotter.usage(name));
      this.#bytes.set(name, bytes);
    }
    return bytes;
  }

  /** All layers of the image, at once where the driver allows it. */
  async unpack(image: PlatformImage, { watch, verified }: UnpackAllOptions = {}): Promise<void> {
    using lease = this.#leases.begin();
    for (const name of image.chain) lease.snapshot(name);
    const layers = image.chain.map((name, at): Layer => {
      const blob = image.manifest.layers[at];
      const diffId = image.document.rootfs.diff_ids[at];
      if (!blob || !diffId) throw systemError(`layer ${at} of ${image.descriptor.digest} is missing`);
      return { name, parent: image.chain[at - 1], blob, diffId, watch, verified: verified?.has(blob.digest) === true };
    });
    let below: Promise<void> = Promise.resolve();
    const all = layers.map((layer) => (below = this.#once(layer, below).then(() => watch?.unpacked(layer.blob.digest))));
    for (const ended of await Promise.allSettled(all)) if (ended.status === "rejected") throw ended.reason;
  }

  #once(layer: Layer, below: Promise<void>): Promise<void> {
    if (this.#snapshotter.has(layer.name)) return Promise.resolve();
    let work = this.#underWay.get(layer.name);
    if (!work) {
      work = this.#unpackLayer(layer, below).finally(() => this.#underWay.delete(layer.name));
      this.#underWay.set(layer.name, work);
    }
    return work;
  }

  /** `below`: its parent is being unpacked. */
  async #unpackLayer(layer: Layer, below: Promise<void>): Promise<void> {
    if (!this.#snapshotter.lateParent) {
      await below;
      return this.#attempt(layer, { parent: layer.parent, merged: false, below });
    }
    try {
      await this.#attempt(layer, { parent: undefined, merged: false, below });
    } catch (error) {
      if (!(error instanceof ParentNeeded)) throw error;
      await below;
      await this.#attempt(layer, { parent: layer.parent, merged: true, below });
    }
  }

  async #attempt(layer: Layer, { parent, merged, below }: Attempt): Promise<void> {
    await layer.watch?.arriving(layer.blob.digest);
    const key = temporaryKey();
    using lease = this.#leases.begin();
    lease.snapshot(key);
    await this.#snapshotter.prepare(key, parent);
    try {
      const late = layer.parent !== undefined && parent === undefined;
      const limiter = this.#content.has(layer.blob.digest) ? this.#here : this.#arriving;
      const { diffId, rootEntry } = await this.#untar(layer, key, { merged, needsParents: late, turn: (work) => limiter.run(work) });
      if (diffId !== layer.diffId) throw new GantryError("data-loss", `wrong diff id calculated on extraction: expected ${layer.diffId}, got ${diffId}`);
      faultPoint("image-layer-unpacked");
      await below;
      await this.#snapshotter.commit(key, layer.name, { inheritRoot: !rootEntry, ...(late && layer.parent !== undefined ? { parent: layer.parent } : {}) });
      faultPoint("image-layer-committed");
    } catch (error) {
      await this.#snapshotter.remove(key);
      throw error;
    }
  }

  async #untar(layer: Layer, key: string, { merged, ...options }: UnpackOptions & { merged: boolean }): Promise<UnpackedBlob> {
    await using target = await this.#snapshotter.unpackTarget(key, { merged });
    const { digest } = layer.blob;
    return await this.#content.unpack(digest, target, { ...options, verified: layer.verified, observe: (progress) => layer.watch?.unpacking(digest, progress) });
  }
}
