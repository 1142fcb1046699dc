/**
 * A blob on its way, in a file that outlives connections and daemons:
 *
 *   <ingest>/<hex>/state.json    { digest, size, started }: what is expected
 *   <ingest>/<hex>/data          what has arrived, from the first byte on
 *
 * Layers are unpacked while they arrive: a follower reads behind the writer, and its digest is the verification.
 */
import { closeSync, constants, fchmodSync, mkdirSync, openSync, readFileSync, readdirSync, statSync, writeFileSync, writev } from "node:fs";
import { join } from "node:path";
import type { BlobIngest, IngestStatus, UnpackOptions } from "../../core/content.ts";
import type { AnswerBody } from "../../lib/connection-body.ts";
import { type Digest, hexOf, isDigest } from "../../lib/digest.ts";
import { GantryError, messageOf, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { ArchiveStream } from "../../sys/archive.ts";
import type { ArchiveResult } from "../../sys/archive.ts";
import { Arrival } from "../../sys/arrival.ts";

/** What nobody continued for so long goes at the next start, as with containerd's leases. */
const keptMilliseconds = 24 * 3600 * 1000;

export interface IngestOwner {
  /** Gives the file its name as a blob. */
  place: (path: string, digest: Digest) => void;
  discard: (path: string) => void;
  /** Forget an ingest that has ended. */
  ended: () => void;
}

export class LocalIngest implements BlobIngest {
  readonly digest: Digest;
  readonly size: number;
  readonly #folder: string;
  readonly #data: string;
  readonly #fd: number;
  readonly #owner: IngestOwner;
  readonly #followers = new Map<ArchiveStream, Promise<ArchiveResult>>();
  readonly #arrival: Arrival;
  #state: "open" | "placed" | "left" = "open";

  constructor(parent: string, { digest, size }: { digest: Digest; size: number }, owner: IngestOwner) {
    this.digest = digest;
    this.size = size;
    this.#owner = owner;
    this.#folder = join(parent, hexOf(digest));
    this.#data = join(this.#folder, "data");
    if (readIngest(parent, hexOf(digest))?.total !== size) {
      owner.discard(this.#folder);
      mkdirSync(this.#folder, { mode: 0o700 });
      writeFileSync(join(this.#folder, "state.json"), JSON.stringify({ digest, size, started: Date.now() }));
    }
    this.#fd = openSync(this.#data, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#arrival = new Arrival(this.#fd, size);
  }

  get offset(): number {
    return this.#arrival.offset;
  }

  /** Followers stop with ECANCELED when the ingest is left before it is whole. */
  async follow(stream: ArchiveStream, turn: NonNullable<UnpackOptions["turn"]> = (work) => work()): Promise<ArchiveResult> {
    const fd = openSync(this.#data, "r");
    const work = turn(() => {
      if (this.#state === "left") return Promise.reject(leftError());
      return this.#state === "placed" ? stream.run(fd) : stream.follow(this.#arrival);
    });
    this.#followers.set(stream, work);
    try {
      return await work;
    } finally {
      closeSync(fd);
      this.#followers.delete(stream);
    }
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    let left = [...chunks];
    let { offset } = this;
    this.#expect(left.reduce((sum, chunk) => sum + chunk.length, 0));
    while (left.length > 0) {
      const written = await writeAt(this.#fd, left, offset).catch((error: unknown) => Promise.reject(this.#unkept(error)));
      offset += written;
      left = remaining(left, written);
      this.#arrival.kept(offset);
    }
  }

  async receive(body: AnswerBody): Promise<Error | undefined> {
    this.#expect(body.length);
    return this.#arrival.receive(body).catch((error: unknown) => Promise.reject(this.#unkept(error)));
  }

  #expect(bytes: number): void {
    if (this.offset + bytes > this.size) throw new GantryError("data-loss", `${this.digest} is larger than the ${this.size} bytes of its descriptor`);
  }

  #unkept(error: unknown): GantryError {
    return systemError(`cannot keep ${this.digest}: ${messageOf(error)}`, error);
  }

  async commit(): Promise<void> {
    if (this.offset !== this.size) throw new GantryError("data-loss", `${this.digest} has ${this.offset} bytes, its descriptor says ${this.size}`);
    faultPoint("blob-arrived");
    const found = (await this.#followed()) ?? (await this.#hash());
    if (found !== this.digest) {
      this.#end("left");
      this.#owner.discard(this.#folder);
      throw new GantryError("data-loss", `failed to verify content: expected ${this.digest}, got ${found}`);
    }
    fchmodSync(this.#fd, 0o444);
    this.#owner.place(this.#data, this.digest);
    faultPoint("blob-placed");
    this.#end("placed");
    this.#owner.discard(this.#folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "open" && this.offset === 0 && this.size > 0) this.#owner.discard(this.#folder);
    this.#end("left");
  }

  /** The digest that one of the followers finds; undefined when there is none, or none gets to the end. */
  async #followed(): Promise<Digest | undefined> {
    for (const work of [...this.#followers.values()]) {
      const result = await work.catch(() => undefined);
      if (result) return `sha256:${result.blobHex}`;
    }
    return undefined;
  }

  async #hash(): Promise<Digest> {
    using stream = new ArchiveStream({ raw: true });
    return `sha256:${(await this.follow(stream)).blobHex}`;
  }

  #end(state: "placed" | "left"): void {
    if (this.#state !== "open") return;
    this.#state = state;
    /* What reads a blob that is whole goes on. */
    this.#arrival.end(state === "left" ? "left" : "whole");
    closeSync(this.#fd);
    this.#owner.ended();
  }
}

/** What an ingest folder holds; undefined when it is none, or damaged. */
export function readIngest(parent: string, name: string): Omit<IngestStatus, "open"> | undefined {
  const folder = join(parent, name);
  try {
    const { digest, size, started } = JSON.parse(readFileSync(join(folder, "state.json"), "utf8")) as { digest: unknown; size: unknown; started: unknown };
    const data = statSync(join(folder, "data"));
    if (typeof digest !== "string" || !isDigest(digest) || hexOf(digest) !== name || typeof size !== "number" || typeof started !== "number" || data.size > size) return undefined;
    return { ref: digest, offset: data.size, total: size, started, updated: Math.floor(data.mtimeMs) };
  } catch {
    return undefined;
  }
}

/** Those that can be continued; the others are handed over to be discarded. */
export function resumable(parent: string, discard: (path: string) => void): void {
  for (const name of readdirSync(parent)) {
    const status = readIngest(parent, name);
    if (!status || Date.now() - status.updated > keptMilliseconds) discard(join(parent, name));
  }
}

const leftError = (): Error => Object.assign(new Error("cancelled"), { code: "ECANCELED" });

const writeAt = (fd: number, chunks: readonly Uint8Array[], position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    writev(fd, chunks, position, (error, written) => (error ? reject(error) : resolve(written)));
  });

function remaining(chunks: Uint8Array[], written: number): Uint8Array[] {
  let skip = written;
  const left: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      left.push(skip === 0 ? chunk : chunk.subarray(skip));
      skip = 0;
    }
  }
  return left;
}
