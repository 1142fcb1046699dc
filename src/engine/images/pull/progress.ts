/** The messages of a pull, in Docker's words: its client draws bars from them. */
import type { UnpackProgress } from "../../../core/content.ts";
import { type Digest, hexOf } from "../../../lib/digest.ts";
import type { Descriptor } from "../../../lib/oci-image.ts";
import type { DownloadState } from "./downloads.ts";

export interface PullMessage {
  status: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
}

/** How often a bar moves. */
const intervalMilliseconds = 100;

interface Row {
  id: string;
  total: number;
  /** What the bar shows now, told at the next tick. */
  moving: { status: string; current: () => number } | undefined;
  shown: number;
  downloaded: boolean;
  unpacking: UnpackProgress | undefined;
  unpacked: boolean;
}

export class PullProgress implements Disposable {
  readonly #report: (message: PullMessage) => void;
  readonly #rows = new Map<Digest, Row>();
  readonly #timer: NodeJS.Timeout;

  constructor(report: (message: PullMessage) => void) {
    this.#report = report;
    this.#timer = setInterval(() => this.#move(), intervalMilliseconds).unref();
  }

  /** A layer that is not here completely. */
  begin({ digest, size }: Descriptor, here: { downloaded: boolean; unpacked: boolean }): void {
    if (this.#rows.has(digest)) return;
    const row: Row = { id: shortId(digest), total: size, moving: undefined, shown: -1, unpacking: undefined, ...here };
    this.#rows.set(digest, row);
    this.#say(row, "Pulling fs layer");
  }

  exists({ digest }: Descriptor): void {
    this.#report({ status: "Already exists", progressDetail: {}, id: shortId(digest) });
  }

  downloading(digest: Digest, state: DownloadState): void {
    const row = this.#rows.get(digest);
    if (!row || row.downloaded) return;
    switch (state.kind) {
      case "waiting":
        return this.#say(row, "Waiting");
      case "downloading":
        row.moving = { status: "Downloading", current: () => state.offset };
        return;
      case "retrying":
        return this.#say(row, `Retrying in ${state.seconds} second${state.seconds === 1 ? "" : "s"}`);
      case "verifying":
        return this.#say(row, "Verifying Checksum");
      case "done":
        row.downloaded = true;
        this.#say(row, "Download complete");
        return this.#next(row);
    }
  }

  unpacking(digest: Digest, progress: UnpackProgress): void {
    const row = this.#rows.get(digest);
    if (!row || row.unpacked) return;
    row.unpacking = progress;
    if (row.downloaded) this.#next(row);
  }

  unpacked(digest: Digest): void {
    const row = this.#rows.get(digest);
    if (!row || row.unpacked) return;
    row.unpacked = true;
    if (row.downloaded) this.#next(row);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** A layer is unpacked while it is downloaded: this is shown after that. */
  #next(row: Row): void {
    const { unpacking } = row;
    if (row.unpacked) this.#say(row, "Pull complete");
    else if (unpacking) row.moving = { status: "Extracting", current: () => unpacking.position };
  }

  #say(row: Row, status: string): void {
    row.moving = undefined;
    this.#report({ status, progressDetail: {}, id: row.id });
  }

  #move(): void {
    for (const row of this.#rows.values()) {
      const current = row.moving?.current();
      if (row.moving === undefined || current === undefined || current === row.shown) continue;
      row.shown = current;
      this.#report({ status: row.moving.status, progressDetail: { current, total: row.total }, id: row.id });
    }
  }
}

const shortId = (digest: Digest): string => hexOf(digest).slice(0, 12);
