/** Key sequences that leave an attached terminal, such as "ctrl-p,ctrl-q". */
import { invalidParameter } from "./errors.ts";

export const defaultDetachKeys: readonly number[] = [16, 17];

/** Bytes of a sequence given as "a,ctrl-b". "" is the default one. Throws invalid-parameter naming what is wrong. */
export function parseDetachKeys(text: string): readonly number[] {
  if (text === "") return defaultDetachKeys;
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    if (key === "DEL") return 127;
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined) throw invalidParameter(`Unknown character: '${key}'`);
    return control.toUpperCase().charCodeAt(0) & 31;
  });
}

/** Watches typed bytes for the sequence. A sequence broken off is passed on. */
export class DetachFilter {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** What of `chunk` goes on, and whether the sequence was completed within it. */
  push(chunk: Buffer): { pass: Buffer; detached: boolean } {
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detached: true };
        continue;
      }
      pass.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: this.#matched === 0 && pass.length === chunk.length ? chunk : Buffer.from(pass), detached: false };
  }
}
