/** The messages of a push, in Docker's words: its client draws bars from them. */
import { type Digest, hexOf } from "../../../lib/digest.ts";
import type { Descriptor } from "../../../lib/oci-image.ts";

export type PushMessage = { status: string; id?: string; progressDetail?: { current?: number; total?: number } } | { aux: object };

/** How often a bar moves. */
const intervalMilliseconds = 100;

export class PushProgress implements Disposable {
  readonly #report: (message: PushMessage) => void;
  readonly #moving = new Map<Digest, { current: number; shown: number; total: number }>();
  readonly #timer: NodeJS.Timeout;

  constructor(report: (message: PushMessage) => void) {
    this.#report = report;
    this.#timer = setInterval(() => this.#move(), intervalMilliseconds).unref();
  }

  say({ digest }: Descriptor, status: string): void {
    this.#moving.delete(digest);
    this.#report({ status, progressDetail: {}, id: hexOf(digest).slice(0, 12) });
  }

  sent({ digest, size }: Descriptor, current: number): void {
    const row = this.#moving.get(digest);
    if (row) row.current = current;
    else this.#moving.set(digest, { current, shown: -1, total: size });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #move(): void {
    for (const [digest, row] of this.#moving) {
      if (row.current === row.shown) continue;
      row.shown = row.current;
      this.#report({ status: "Pushing", progressDetail: { current: row.current, total: row.total }, id: hexOf(digest).slice(0, 12) });
    }
  }
}
