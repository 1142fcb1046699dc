/** Sending containers' logs on: what the engine asks of whoever does it. */
import type { LogOrigin } from "./log-driver.ts";

export interface LogForwarder {
  /** Rejects with what the start of a container fails with: its log server is not there. */
  verify(target: ForwardTarget): Promise<void>;
  /** Sends on what was not sent yet, and what comes, until `ended` or `drop`. Of one that is forwarded already it changes the options. */
  forward(target: ForwardTarget): void;
  /** Nothing more will be written for now. */
  ended(id: string): void;
  /** Resolves when all of the container's log is sent, or it was dropped; undefined: nobody forwards it. */
  drained(id: string): Promise<void> | undefined;
  /** Sends no more of it. */
  drop(id: string): void;
  /** Whether records of a log that is not written now are still to be sent. */
  isBehind(path: string): boolean;
  /** Waits for sends that are under way, a little. */
  close(): Promise<void>;
}

/** Plain data: it goes to another process. */
export interface ForwardTarget {
  id: string;
  /** The log being written; older files are path.1, path.2 ... */
  path: string;
  driver: string;
  options: Record<string, string>;
  origin: LogOrigin;
  /** What waits for the server: all of it, or so many bytes. */
  waiting: "all" | number;
  /** Of files that are sent: how many stay in all, and whether old ones are compressed. */
  keep: { files: number; compress: boolean };
}
