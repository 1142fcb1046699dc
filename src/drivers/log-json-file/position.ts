/** Where a forwarder is in a log: a small file beside it, in one write, so that it is whole however a process ends. */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import type { LogPosition } from "./tail.ts";

const LENGTH = 128;

export interface SavedPosition extends LogPosition {
  /** Everything is sent, and nothing was written then. */
  drained: boolean;
}

export const positionPath = (logPath: string): string => `${logPath}.sent`;

/** undefined: nothing was sent yet, or a loss of power left no sense in the file. */
export function readPosition(logPath: string): SavedPosition | undefined {
  try {
    const { file, offset, drained } = JSON.parse(readFileSync(positionPath(logPath), "utf8")) as SavedPosition;
    return typeof file === "string" && Number.isSafeInteger(offset) && offset >= 0 ? { file, offset, drained: drained === true } : undefined;
  } catch {
    return undefined;
  }
}

export class PositionFile {
  readonly #fd: number;

  constructor(logPath: string) {
    // Appending would ignore positions.
    this.#fd = openSync(positionPath(logPath), constants.O_WRONLY | constants.O_CREAT, 0o600);
  }

  write(position: SavedPosition): void {
    writeSync(this.#fd, JSON.stringify(position).padEnd(LENGTH), 0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
