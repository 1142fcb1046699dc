/**
 * The content store: blobs by digest, kept exactly as received.
 *
 *   receive() ──push...──▶ finish() ─▶ blob        a blob as it arrives, hashed on its way
 *   receiveArchive() ──push...──▶ finish()         an uploaded tar, untarred into a private folder
 *        └─ read(path), adopt(path, digest) ─▶ blob
 *   write(bytes) ─▶ blob                           a small document made here
 *
 * A blob is there completely or not at all: it gets its name by a rename, after its bytes were verified. What a crash leaves of
 * ingests goes at the next start. Blobs survive a loss of power once sync() has ended.
 */
import type { Digest } from "../lib/digest.ts";
import type { UnpackTarget } from "./snapshotter.ts";

export interface ContentStore {
  has(digest: Digest): boolean;
  /** In bytes; undefined when missing. */
  size(digest: Digest): number | undefined;
  /** A small blob at once. "not-found" when missing, "data-loss" when its bytes are not those of its digest. */
  read(digest: Digest, mostBytes: number): Buffer;
  /** A blob as a stream of its bytes, from an offset on. */
  stream(digest: Digest, offset?: number): AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Digest;
  receive(options?: ReceiveOptions): BlobReceiver;
  receiveArchive(): ArchiveReceiver;
  /** Untars a layer. Errors are "system", also for malformed layers; ParentNeeded when a merged target is wanted. */
  unpack(digest: Digest, target: UnpackTarget, options: UnpackOptions): Promise<UnpackedBlob>;
  delete(digest: Digest): void;
  list(): Digest[];
  /** Ends when all that was written so far, here and in unpacked layers of the same file system, is durable. */
  sync(): Promise<void>;
}

export interface ReceiveOptions {
  /** Untar it here at the same time. */
  target?: UnpackTarget;
}

export interface UnpackOptions {
  /** Stop when the layer relies on folders or links of its parent that the target does not show. */
  needsParents: boolean;
}

export interface UnpackedBlob {
  digest: Digest;
  size: number;
  compression: "plain" | "gzip" | "zstd";
  /** Digest of the uncompressed bytes. */
  diffId: Digest;
  entries: number;
  /** The layer says how the root folder looks. */
  rootEntry: boolean;
}

export interface BlobReceiver extends AsyncDisposable {
  /** The bytes must not change until the promise settles. */
  push(bytes: Uint8Array): Promise<void>;
  /** Verifies, and gives the blob its name. */
  finish(expected?: Digest): Promise<UnpackedBlob>;
}

export interface ArchiveReceiver extends AsyncDisposable {
  push(bytes: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  /** A file of the archive, or undefined. */
  read(path: string, mostBytes: number): Buffer | undefined;
  has(path: string): boolean;
  /** Makes a blob of a file of the archive; "invalid-parameter" when its digest is not the expected one, "not-found" when it is missing. */
  adopt(path: string, expected?: Digest): Promise<{ digest: Digest; size: number; compression: "plain" | "gzip" | "zstd" }>;
}

/** What an unpack fails with when the layer relies on its parent. */
export class ParentNeeded extends Error {}
