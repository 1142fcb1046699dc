/**
 * Layers on their way from registries, each once, however many pulls wait for it:
 *
 *   waiting ─▶ downloading ─▶ verifying ─▶ done
 *       └──────────┴──────────────┴─▶ failed, or left when the last one that waited for it is gone
 *
 * What has arrived stays in the content store's ingest, so that the next download goes on from there.
 */
import type { BlobIngest, ContentStore } from "../../../core/content.ts";
import type { Repository } from "../../../core/registry.ts";
import type { Digest } from "../../../lib/digest.ts";
import { GantryError, codeOf } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import { Limiter } from "../../../lib/limiter.ts";
import type { Descriptor } from "../../../lib/oci-image.ts";

export type DownloadState =
  | { kind: "waiting" }
  | { kind: "downloading"; offset: number }
  | { kind: "retrying"; seconds: number }
  | { kind: "verifying" }
  | { kind: "done" };

export interface DownloadRequest {
  blob: Descriptor;
  /** Where it is fetched from, unless somebody else's download of it is under way. */
  repository: Repository;
  /** Ends the wait; the download goes on if somebody else waits for it. */
  signal: AbortSignal;
  changed: (state: DownloadState) => void;
}

interface Download {
  blob: Descriptor;
  waiters: Set<DownloadRequest>;
  state: DownloadState;
  abort: AbortController;
  /** Its bytes begin to arrive, or it is here. */
  begun: PromiseWithResolvers<void>;
  whole: Promise<void>;
}

/** How often to look at what arrives off a connection that others read, and how much of it is a step. */
const lookMilliseconds = 50;
const stepBytes = 256 << 10;
/** Bytes that were other than their digest says are fetched once more: a proxy or a disk may have done that. */
const mostWrong = 2;

export class Downloads {
  readonly #content: ContentStore;
  readonly #limiter: Limiter;
  readonly #underWay = new Map<Digest, Download>();

  constructor(content: ContentStore, mostAtOnce: number) {
    this.#content = content;
    this.#limiter = new Limiter(mostAtOnce);
  }

  /** Another number at once, from now on. */
  limit(mostAtOnce: number): void {
    this.#limiter.limit(mostAtOnce);
  }

  /** Ends when the blob is in the content store. "cancelled" by the signal, else what the registry or the disk said. */
  async fetch(request: DownloadRequest): Promise<void> {
    const { blob, signal } = request;
    for (let former = this.#underWay.get(blob.digest); former?.abort.signal.aborted === true; former = this.#underWay.get(blob.digest)) await settled(former);
    if (this.#content.has(blob.digest)) return;
    if (signal.aborted) throw cancelled(blob);
    const download = this.#underWay.get(blob.digest) ?? this.#begin(request);
    download.waiters.add(request);
    request.changed(download.state);
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(cancelled(blob));
    signal.addEventListener("abort", leave, { once: true });
    try {
      await Promise.race([download.whole, left.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      download.waiters.delete(request);
      if (download.waiters.size === 0) {
        download.abort.abort();
        await settled(download);
      }
    }
  }

  /** Ends when the blob is here, or can be unpacked as it arrives. */
  async arriving(digest: Digest): Promise<void> {
    await this.#underWay.get(digest)?.begun.promise;
  }

  #begin(request: DownloadRequest): Download {
    const { blob } = request;
    const begun = Promise.withResolvers<void>();
    const download: Download = { blob, waiters: new Set([request]), state: { kind: "waiting" }, abort: new AbortController(), begun, whole: Promise.resolve() };
    this.#underWay.set(blob.digest, download);
    download.whole = this.#run(download).finally(() => this.#underWay.delete(blob.digest));
    download.whole.then(begun.resolve, begun.reject);
    /* Nobody may be waiting any more. */
    begun.promise.catch(() => undefined);
    return download;
  }

  async #run(download: Download): Promise<void> {
    for (let wrong = 1; ; wrong++) {
      try {
        return await this.#attempt(download);
      } catch (error) {
        if (download.abort.signal.aborted) throw cancelled(download.blob);
        if (codeOf(error) !== "data-loss" || wrong === mostWrong) throw error;
      }
    }
  }

  async #attempt(download: Download): Promise<void> {
    await using held = new AsyncDisposableStack();
    const ingest = await this.#limiter.run(async () => {
      if (download.abort.signal.aborted) throw cancelled(download.blob);
      const opened = held.use(this.#content.ingest(download.blob));
      download.begun.resolve();
      if (opened.offset < opened.size) await this.#receive(download, opened);
      return opened;
    });
    tell(download, { kind: "verifying" });
    await ingest.commit();
    tell(download, { kind: "done" });
    faultPoint("image-blob-downloaded");
  }

  async #receive(download: Download, ingest: BlobIngest): Promise<void> {
    const { blob, abort, waiters } = download;
    const [first] = waiters;
    if (!first) throw cancelled(blob);
    tell(download, { kind: "downloading", offset: ingest.offset });
    const retrying = (seconds: number): void => tell(download, { kind: "retrying", seconds });
    let told = ingest.offset;
    const look = (): void => {
      if (ingest.offset === told) return;
      for (; told < ingest.offset; told = Math.min(told + stepBytes, ingest.offset)) faultPoint("image-blob-arriving");
      tell(download, { kind: "downloading", offset: told });
    };
    const timer = setInterval(look, lookMilliseconds);
    try {
      for await (const chunk of first.repository.openBlob(blob, { offset: ingest.offset, into: ingest, signal: abort.signal, retrying })) {
        await ingest.write([chunk]);
        look();
      }
      look();
    } finally {
      clearInterval(timer);
    }
  }
}

function tell(download: Download, state: DownloadState): void {
  download.state = state;
  for (const { changed } of download.waiters) changed(state);
}

const settled = ({ whole }: Download): Promise<void> => whole.catch(() => undefined);

const cancelled = ({ digest }: Descriptor): Error => new GantryError("cancelled", `the download of ${digest} was cancelled`);
