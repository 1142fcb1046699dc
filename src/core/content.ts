/**
 * The content store: blobs by digest, kept exactly as received.
 *
 *   receive() ──push...──▶ finish() ─▶ blob        a blob as it arrives, hashed on its way
 *   receiveArchive() ──▶ receive(bytes)            an uploaded tar, untarred into a private folder
 *        └─ read(path), adopt(path, digest) ─▶ blob
 *   write(bytes) ─▶ blob                           a small document made here
 *   ingest(descriptor) ──write...──▶ commit() ─▶ blob      a blob that is downloaded, in as many attempts as it takes
 *        └─ unpack(digest, target): at the same time
 *
 * A blob is there completely or not at all: it gets its name by a rename, after its bytes were verified. What a crash leaves
 * goes at the next start, but for downloads: those can be continued for a day. Blobs survive a loss of power once sync() has ended.
 */
import type { AnswerBody } from "../lib/connection-body.ts";
import type { Digest } from "../lib/digest.ts";
import type { UnpackTarget } from "./snapshotter.ts";

export interface ContentStore {
  /** Another number after a blob came or went. */
  readonly generation: number;
  has(digest: Digest): boolean;
  /** In bytes; undefined when missing. */
  size(digest: Digest): number | undefined;
  /** A small blob at once. "not-found" when missing, "data-loss" when its bytes are not those of its digest. */
  read(digest: Digest, mostBytes: number): Buffer;
  /** Whether a blob's bytes are those of its digest. False also when it is missing. */
  verify(digest: Digest): Promise<boolean>;
  /** A blob as a stream of its bytes, from an offset on. */
  stream(digest: Digest, offset?: number): AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Digest;
  receive(options?: ReceiveOptions): BlobReceiver;
  receiveArchive(): ArchiveReceiver;
  /** Opens a download, with what an earlier attempt left of it. "conflict" while another one of the same digest is open, "system" without room on the disk. */
  ingest(blob: { digest: Digest; size: number }): BlobIngest;
  /** Downloads, open or left. */
  ingests(): IngestStatus[];
  /** Drops a download that is not open. */
  abort(ref: Digest): void;
  /** Untars a layer, also one that is being downloaded: then as its bytes arrive, and "cancelled" when the download is left. Errors
   *  are "system", also for malformed layers; ParentNeeded when a merged target is wanted. */
  unpack(digest: Digest, target: UnpackTarget, options: UnpackOptions): Promise<UnpackedBlob>;
  delete(digest: Digest): void;
  list(): Digest[];
  /** Paths of files in the store that are nothing of the above. */
  strays(): string[];
  discardStray(path: string): void;
  /** Ends when what was deleted so far takes no room any more. */
  settled(): Promise<void>;
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
  /** The blob's bytes were compared with its digest just now, so that this is not done again. */
  verified?: boolean;
  /** Gets something to look at while it runs. */
  observe?: (progress: UnpackProgress) => void;
  /** Runs the work when it is its turn. A download that it follows waits for it with its verification. */
  turn?: <T>(work: () => Promise<T>) => Promise<T>;
}

export interface UnpackProgress {
  /** Bytes of the blob that were read so far. */
  readonly position: number;
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

export interface NamingOptions {
  /** What the digest must be. */
  expected?: Digest;
  /** Called before the blob can be found: who does not hold it from then on may lose it to a collection. */
  naming?: (digest: Digest) => void;
}

export interface BlobReceiver extends AsyncDisposable {
  /** The bytes must not change until the promise settles. */
  push(bytes: Uint8Array): Promise<void>;
  /** All of it at once, without a compression that layers do not have (bzip2, xz). "system" for what cannot be inflated here, an AbortError when
   *  its sender has left. */
  receive(bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** Verifies, and gives the blob its name. */
  finish(options?: NamingOptions): Promise<UnpackedBlob>;
}

/** Leaving it keeps what has arrived. */
export interface BlobIngest extends AsyncDisposable {
  readonly digest: Digest;
  readonly size: number;
  /** Bytes that are here: the next ones to write. */
  readonly offset: number;
  /** The bytes must not change until the promise settles. One call at a time. "data-loss" for more than the expected size. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** The same with the rest of an answer, read off its connection. Gives what broke the connection before its end. */
  receive(body: AnswerBody): Promise<Error | undefined>;
  /** Verifies, and gives the blob its name. "data-loss" when the bytes are others: then nothing of them is kept. */
  commit(): Promise<void>;
}

/** As containerd shows ingests. Times in milliseconds since 1970. */
export interface IngestStatus {
  ref: Digest;
  offset: number;
  total: number;
  /** A download is under way. */
  open: boolean;
  started: number;
  updated: number;
}

export interface ArchiveReceiver extends AsyncDisposable {
  /** All of the archive, in any compression that can be inflated here. An AbortError when its sender has left. */
  receive(bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** A file of the archive, or undefined. */
  read(path: string, mostBytes: number): Buffer | undefined;
  has(path: string): boolean;
  /** Makes a blob of a file of the archive; "invalid-parameter" when its digest is not the expected one, "not-found" when it is missing. */
  adopt(path: string, options?: NamingOptions): Promise<{ digest: Digest; size: number; compression: "plain" | "gzip" | "zstd" }>;
}

/** What an unpack fails with when the layer relies on its parent. */
export class ParentNeeded extends Error {}
