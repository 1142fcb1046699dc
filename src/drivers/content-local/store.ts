/**
 *   <dir>/sha256/<hex>     blobs, mode 0444
 *   <dir>/ingest/<name>    what is arriving: a file, or the folder of an uploaded archive, or of a download (ingest.ts)
 *   <dir>/trash/           what was dropped and is being deleted
 */
import { closeSync, constants, createReadStream, existsSync, fchmodSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, readdirSync, renameSync, statSync, statfsSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { ParentNeeded } from "../../core/content.ts";
import type { ArchiveReceiver, BlobIngest, BlobReceiver, ContentStore, IngestStatus, NamingOptions, ReceiveOptions, UnpackOptions, UnpackedBlob } from "../../core/content.ts";
import type { UnpackTarget } from "../../core/snapshotter.ts";
import { type Digest, digestOf, hexOf, isDigest } from "../../lib/digest.ts";
import { GantryError, conflict, invalidParameter, messageOf, notFound, systemError } from "../../lib/errors.ts";
import { ArchiveStream, extract, linkFile, openDirectory, openInRoot, syncFileSystem } from "../../sys/archive.ts";
import type { ArchiveResult } from "../../sys/archive.ts";
import { receiveArchive } from "../../sys/connection-body.ts";
import { Trash } from "../../sys/trash.ts";
import { LocalIngest, readIngest, resumable } from "./ingest.ts";

/** What an archive must leave free on the disk: this much, or a share of a small one. */
const reservedBytes = 256 << 20;
const reservedShare = 0.02;
/** Not the archive's fault. */
const diskErrors: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);
const smallBytes = 1 << 20;
const layerFlags = extract.owner | extract.xattrs | extract.devices;

const isExplained = (error: unknown): boolean => error instanceof GantryError || (error as Error).name === "AbortError";

export class LocalContent implements ContentStore {
  readonly #dir: string;
  readonly #blobs: string;
  readonly #ingest: string;
  readonly #trash: Trash;
  /** Blobs that were seen: only delete() takes them away. */
  readonly #known = new Set<Digest>();
  readonly #ingests = new Map<Digest, LocalIngest>();
  #counter = 0;
  #generation = 0;

  constructor(dir: string) {
    this.#dir = dir;
    this.#blobs = join(dir, "sha256");
    this.#ingest = join(dir, "ingest");
    mkdirSync(this.#blobs, { recursive: true, mode: 0o700 });
    mkdirSync(this.#ingest, { recursive: true, mode: 0o700 });
    this.#trash = new Trash(join(dir, "trash"));
    resumable(this.#ingest, (path) => this.#trash.discard(path));
  }

  get generation(): number {
    return this.#generation;
  }

  has(digest: Digest): boolean {
    if (this.#known.has(digest)) return true;
    const found = existsSync(this.#path(digest));
    if (found) this.#known.add(digest);
    return found;
  }

  size(digest: Digest): number | undefined {
    return statSync(this.#path(digest), { throwIfNoEntry: false })?.size;
  }

  read(digest: Digest, mostBytes: number): Buffer {
    const size = this.size(digest);
    if (size === undefined) throw notFound(`content ${digest} is missing`);
    if (size > mostBytes) throw invalidParameter(`content ${digest} has ${size} bytes, more than ${mostBytes}`);
    const bytes = readFileSync(this.#path(digest));
    if (digestOf(bytes) !== digest) throw new GantryError("data-loss", `content ${digest} is damaged on disk`);
    return bytes;
  }

  async verify(digest: Digest): Promise<boolean> {
    if (!existsSync(this.#path(digest))) return false;
    using hash = new ArchiveStream({ raw: true });
    return `sha256:${(await this.#run(digest, hash)).blobHex}` === digest;
  }

  stream(digest: Digest, offset = 0): AsyncIterable<Uint8Array> {
    if (!this.has(digest)) throw notFound(`content ${digest} is missing`);
    return createReadStream(this.#path(digest), { start: offset, highWaterMark: 256 << 10 });
  }

  write(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    if (this.has(digest)) return digest;
    const path = this.#fresh();
    try {
      writeFileSync(path, bytes, { mode: 0o444 });
      this.#place(path, digest);
    } catch (error) {
      this.#trash.discard(path);
      throw explained("cannot write content", error);
    }
    return digest;
  }

  receive(options: ReceiveOptions = {}): BlobReceiver {
    const path = this.#fresh();
    let fd: number;
    try {
      fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o444);
    } catch (error) {
      throw explained("cannot receive content", error);
    }
    let stream: ArchiveStream;
    try {
      stream = this.#unpacker(options.target, { blob: fd, needsParents: false });
    } catch (error) {
      closeSync(fd);
      this.#trash.discard(path);
      throw explained("cannot receive content", error);
    }
    const failed = (error: unknown): Promise<never> => Promise.reject(isExplained(error) ? error : explained("cannot receive content", error));
    let whole: ArchiveResult | undefined;
    return {
      push: (bytes) => stream.push(bytes).catch(failed),
      receive: async (bytes) => void (whole = await receiveArchive(stream, bytes).catch(failed)),
      finish: async ({ expected, naming } = {}) => {
        const result = unpacked(whole ?? (await stream.finish().catch(failed)));
        if (expected !== undefined && result.digest !== expected) throw systemError(`failed to verify content: expected ${expected}, got ${result.digest}`);
        naming?.(result.digest);
        await this.#placeAnew(path, result.digest);
        return result;
      },
      [Symbol.asyncDispose]: async () => {
        stream[Symbol.dispose]();
        closeSync(fd);
        this.#trash.discard(path);
      },
    };
  }

  receiveArchive(): ArchiveReceiver {
    const path = this.#fresh();
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      throw explained("cannot receive an archive", error);
    }
    const root = openDirectory(path);
    const stream = new ArchiveStream({ root, unhashed: "all", budget: { bytes: this.#freeBytes(), entries: 100_000 } });
    return {
      receive: async (bytes) => {
        try {
          if (!(await receiveArchive(stream, bytes))) await stream.finish();
        } catch (error) {
          if (isExplained(error)) throw error;
          throw explained(diskErrors.has((error as NodeJS.ErrnoException).code ?? "") ? "cannot receive the archive" : "invalid archive", error);
        }
      },
      has: (name) => withFile(root, name, () => true) ?? false,
      read: (name, mostBytes) =>
        withFile(root, name, (fd) => {
          const { size } = fstatSync(fd);
          if (size > mostBytes) throw invalidParameter(`invalid archive: ${name} has ${size} bytes, more than ${mostBytes}`);
          return readFileSync(fd);
        }),
      adopt: (name, options) => this.#adopt(root, name, options),
      [Symbol.asyncDispose]: async () => {
        stream[Symbol.dispose]();
        closeSync(root);
        this.#trash.discard(path);
      },
    };
  }

  async #adopt(root: number, name: string, { expected, naming }: NamingOptions = {}): Promise<{ digest: Digest; size: number; compression: UnpackedBlob["compression"] }> {
    const fd = openFile(root, name);
    if (fd === undefined) throw notFound(`invalid archive: ${name} is missing`);
    try {
      using hash = new ArchiveStream({ raw: true });
      const { blobHex, blobBytes } = await hash.run(fd);
      const digest: Digest = `sha256:${blobHex}`;
      if (expected !== undefined && digest !== expected) throw invalidParameter(`invalid archive: ${name} has the digest ${digest}, not ${expected}`);
      naming?.(digest);
      if (!this.has(digest) || this.#isSeenDamaged(digest, blobBytes)) {
        fchmodSync(fd, 0o444);
        const path = this.#fresh();
        linkFile(fd, path);
        this.#place(path, digest);
      }
      return { digest, size: blobBytes, compression: compressionOf(fd) };
    } catch (error) {
      throw explained("cannot keep content", error);
    } finally {
      closeSync(fd);
    }
  }

  /** As far as it shows at once: large blobs are not read for it. */
  #isSeenDamaged(digest: Digest, size: number): boolean {
    return this.size(digest) !== size || (size <= smallBytes && digestOf(readFileSync(this.#path(digest))) !== digest);
  }

  ingest(blob: { digest: Digest; size: number }): BlobIngest {
    if (this.#ingests.has(blob.digest)) throw conflict(`${blob.digest} is being downloaded already`);
    let ingest: LocalIngest | undefined;
    try {
      ingest = new LocalIngest(this.#ingest, blob, {
        place: (path, digest) => this.#place(path, digest),
        discard: (path) => this.#trash.discard(path),
        ended: () => void this.#ingests.delete(blob.digest),
      });
      this.#ingests.set(blob.digest, ingest);
      const missing = blob.size - ingest.offset;
      if (missing > this.#freeBytes()) throw systemError(`no space left on device: ${missing} bytes of ${blob.digest} are to come`);
      return ingest;
    } catch (error) {
      void ingest?.[Symbol.asyncDispose]();
      throw explained("cannot receive content", error);
    }
  }

  ingests(): IngestStatus[] {
    return readdirSync(this.#ingest).flatMap((name) => {
      const found = readIngest(this.#ingest, name);
      return found ? [{ ...found, open: this.#ingests.has(found.ref) }] : [];
    });
  }

  abort(ref: Digest): void {
    if (this.#ingests.has(ref)) throw conflict(`${ref} is being downloaded`);
    this.#trash.discard(join(this.#ingest, hexOf(ref)));
  }

  async unpack(digest: Digest, target: UnpackTarget, options: UnpackOptions): Promise<UnpackedBlob> {
    try {
      const isPlain = options.verified === true && this.#isPlain(digest);
      using stream = this.#unpacker(target, { needsParents: options.needsParents, ...(options.verified === true ? { unhashed: isPlain ? "all" : "blob" } : {}) });
      options.observe?.(stream);
      const { turn = (work) => work() } = options;
      const arriving = this.has(digest) ? undefined : this.#ingests.get(digest);
      const result = unpacked(await (arriving?.follow(stream, turn) ?? turn(() => this.#run(digest, stream))));
      if (options.verified === true) return { ...result, digest, ...(isPlain ? { diffId: digest } : {}) };
      if (result.digest !== digest) throw new GantryError("data-loss", arriving ? `failed to verify content: expected ${digest}, got ${result.digest}` : `content ${digest} is damaged on disk`);
      return result;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ESTALE") throw new ParentNeeded(messageOf(error));
      if (code === "ECANCELED") throw new GantryError("cancelled", `the download of ${digest} was cancelled`, { cause: error });
      throw explained("failed to extract layer", error);
    }
  }

  async #run(digest: Digest, stream: ArchiveStream): Promise<ArchiveResult> {
    const fd = this.#open(digest);
    try {
      return await stream.run(fd);
    } finally {
      closeSync(fd);
    }
  }

  delete(digest: Digest): void {
    this.#known.delete(digest);
    this.#generation++;
    this.#trash.discard(this.#path(digest));
  }

  list(): Digest[] {
    return readdirSync(this.#blobs)
      .map((hex) => `sha256:${hex}`)
      .filter(isDigest);
  }

  strays(): string[] {
    const names = readdirSync(this.#blobs).filter((hex) => !isDigest(`sha256:${hex}`));
    const own = new Set(["sha256", "ingest", "trash"]);
    return [...names.map((name) => join(this.#blobs, name)), ...readdirSync(this.#dir).filter((name) => !own.has(name)).map((name) => join(this.#dir, name))];
  }

  discardStray(path: string): void {
    if (this.strays().includes(path)) this.#trash.discard(path);
  }

  settled(): Promise<void> {
    return this.#trash.settled();
  }

  sync(): Promise<void> {
    return syncFileSystem(this.#dir);
  }

  #isPlain(digest: Digest): boolean {
    const fd = this.#open(digest);
    try {
      return compressionOf(fd) === "plain";
    } finally {
      closeSync(fd);
    }
  }

  #unpacker(target: UnpackTarget | undefined, options: { blob?: number; needsParents: boolean; unhashed?: "blob" | "all" }): ArchiveStream {
    const root = target === undefined ? undefined : openDirectory(target.path);
    const whiteouts = target?.whiteouts === "apply" ? extract.whiteoutApply : extract.whiteoutOverlay;
    try {
      return new ArchiveStream({
        ...(root === undefined ? {} : { root }),
        ...(options.blob === undefined ? {} : { blob: options.blob }),
        ...(options.unhashed === undefined ? {} : { unhashed: options.unhashed }),
        flags: layerFlags | whiteouts | (options.needsParents ? extract.needParents : 0),
        budget: { bytes: this.#freeBytes() },
      });
    } finally {
      if (root !== undefined) closeSync(root);
    }
  }

  #freeBytes(): number {
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    return Math.max(0, Math.floor(bavail * bsize - Math.min(reservedBytes, blocks * bsize * reservedShare)));
  }

  #open(digest: Digest): number {
    try {
      return openSync(this.#path(digest), "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") throw notFound(`content ${digest} is missing`);
      throw explained("cannot read content", error);
    }
  }

  #path(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }

  #fresh(): string {
    return join(this.#ingest, `${process.pid}-${this.#counter++}`);
  }

  #place(path: string, digest: Digest): void {
    renameSync(path, this.#path(digest));
    this.#generation++;
  }

  /** What was there under that digest ends with it, which file systems may take their time for. */
  async #placeAnew(path: string, digest: Digest): Promise<void> {
    await rename(path, this.#path(digest));
    this.#generation++;
  }
}

function unpacked(result: ArchiveResult): UnpackedBlob {
  return { digest: `sha256:${result.blobHex}`, size: result.blobBytes, compression: result.compression, diffId: `sha256:${result.diffHex}`, entries: result.entries, rootEntry: result.rootEntry };
}

/** A regular file inside the root, or undefined. FIFOs and devices are never opened for reading: nothing here blocks. */
function openFile(root: number, name: string): number | undefined {
  let fd: number;
  try {
    fd = openInRoot(root, name, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  return undefined;
}

function withFile<T>(root: number, name: string, use: (fd: number) => T): T | undefined {
  const fd = openFile(root, name);
  if (fd === undefined) return undefined;
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function compressionOf(fd: number): UnpackedBlob["compression"] {
  const magic = Buffer.alloc(4);
  readSync(fd, magic, 0, 4, 0);
  if (magic[0] === 0x1f && magic[1] === 0x8b) return "gzip";
  const number = magic.readUInt32LE(0);
  /* A frame of zstd, or one that is skipped. */
  return number === 0xfd2fb528 || (number & 0xfffffff0) >>> 0 === 0x184d2a50 ? "zstd" : "plain";
}

function explained(what: string, error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  /* The budget of bytes is what the disk has room for. */
  const full = (error as NodeJS.ErrnoException).code === "E2BIG" && messageOf(error).startsWith("archive is larger");
  return systemError(`${what}: ${full ? "no space left on device: " : ""}${messageOf(error)}`, error);
}
