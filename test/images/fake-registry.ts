/** Registries without a network: what is in them, what was asked for, and what goes wrong. */
import type { BlobSource, DownloadOptions, Registries, RemoteManifest, Repository } from "../../src/core/registry.ts";
import { type Digest, digestOf } from "../../src/lib/digest.ts";
import { GantryError, notFound, notImplemented, unavailable } from "../../src/lib/errors.ts";
import { type Descriptor, mediaTypes } from "../../src/lib/oci-image.ts";

export interface FakeLayer {
  bytes: Buffer;
  /** Of the uncompressed bytes, when they are others. */
  diffId?: Digest;
  mediaType?: string;
}

export class FakeRegistry implements Registries {
  readonly blobs = new Map<Digest, Buffer>();
  readonly manifests = new Map<Digest, { mediaType: string; bytes: Buffer }>();
  readonly tagged = new Map<string, Digest>();
  /** "blob DIGEST OFFSET", "manifest REFERENCE", "resolve REFERENCE" */
  readonly asked: string[] = [];
  /** Bytes of each chunk of a layer. */
  readonly sent: number[] = [];
  /** Bytes after which the next transfer of a blob fails for good. */
  readonly breaks = new Map<Digest, number>();
  /** What the next transfer of a blob sends instead. */
  readonly wrong = new Map<Digest, Buffer>();
  chunk = 64 << 10;
  /** Waited for before each chunk. */
  pace: (digest: Digest, offset: number) => Promise<void> | void = () => undefined;

  addBlob(mediaType: string, bytes: Buffer): Descriptor {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  addManifest(mediaType: string, json: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(json));
    const digest = digestOf(bytes);
    this.manifests.set(digest, { mediaType, bytes });
    return { mediaType, digest, size: bytes.length };
  }

  addImage(layers: readonly FakeLayer[], { config = {}, document = {}, kind = "oci" }: { config?: object; document?: object; kind?: "oci" | "docker" } = {}): Descriptor {
    const [manifestType, configType] = kind === "oci" ? [mediaTypes.ociManifest, mediaTypes.ociConfig] : [mediaTypes.dockerManifest, mediaTypes.dockerConfig];
    const text = { architecture: "amd64", os: "linux", config, rootfs: { type: "layers", diff_ids: layers.map(({ bytes, diffId }) => diffId ?? digestOf(bytes)) }, ...document };
    return this.addManifest(manifestType, {
      schemaVersion: 2,
      mediaType: manifestType,
      config: this.addBlob(configType, Buffer.from(JSON.stringify(text))),
      layers: layers.map(({ bytes, mediaType }) => this.addBlob(mediaType ?? mediaTypes.ociLayer, bytes)),
    });
  }

  addIndex(manifests: readonly object[]): Descriptor {
    return this.addManifest(mediaTypes.ociIndex, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  }

  tag(name: string, { digest }: Descriptor): void {
    this.tagged.set(name, digest);
  }

  repository(): Repository {
    const refused = (): never => {
      throw notImplemented("not faked");
    };
    return {
      resolve: async (reference) => {
        this.asked.push(`resolve ${reference}`);
        return this.#descriptor(reference);
      },
      manifest: async (reference): Promise<RemoteManifest> => {
        this.asked.push(`manifest ${reference}`);
        const { mediaType, digest } = this.#descriptor(reference);
        return { mediaType, digest, bytes: this.manifests.get(digest)?.bytes ?? refused() };
      },
      openBlob: (blob, options) => this.#open(blob, options ?? {}),
      tags: async () => [...this.tagged.keys()],
      hasManifest: refused,
      hasBlob: refused,
      pushBlob: refused,
      putManifest: refused,
    };
  }

  login(): never {
    throw notImplemented("not faked");
  }

  search(): never {
    throw notImplemented("not faked");
  }

  settings(): never {
    throw notImplemented("not faked");
  }

  /** Offsets that a blob was asked for from. */
  offsetsOf(digest: Digest): number[] {
    return this.asked.filter((line) => line.startsWith(`blob ${digest} `)).map((line) => Number(line.split(" ")[2]));
  }

  #descriptor(reference: string): Descriptor {
    const digest = this.tagged.get(reference) ?? (reference as Digest);
    const manifest = this.manifests.get(digest);
    if (!manifest) throw notFound(`${reference}: not found`);
    return { mediaType: manifest.mediaType, digest, size: manifest.bytes.length };
  }

  async *#open({ digest }: BlobSource, { offset = 0, signal }: DownloadOptions): AsyncGenerator<Uint8Array> {
    this.asked.push(`blob ${digest} ${offset}`);
    const bytes = this.wrong.get(digest) ?? this.blobs.get(digest);
    this.wrong.delete(digest);
    if (!bytes) throw notFound(`${digest}: not found`);
    const end = this.breaks.get(digest) ?? bytes.length;
    /* As the real one: a chunk is valid until the next is asked for. */
    const room = Buffer.alloc(this.chunk);
    for (let at = offset; at < end; at += this.chunk) {
      await this.pace(digest, at);
      await new Promise(setImmediate);
      if (signal?.aborted === true) throw new GantryError("cancelled", "aborted");
      const copied = bytes.copy(room, 0, at, Math.min(end, at + this.chunk));
      this.sent.push(copied);
      yield room.subarray(0, copied);
    }
    if (end === bytes.length) return;
    this.breaks.delete(digest);
    throw unavailable("connection reset");
  }
}
