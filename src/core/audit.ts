/** Proof that nothing on the disk is unaccounted for: each part of the engine says what it looked at and what is wrong. */

export interface Audit {
  /** How much was looked at: "blobs", "layers", ... */
  counts: Record<string, number>;
  findings: Finding[];
}

export interface Finding {
  kind: "image" | "blob" | "layer" | "container" | "volume" | "mount" | "file";
  id: string;
  problem: string;
  /** What the user can do where no repair is possible or safe. */
  remedy?: string;
  /** Puts it right without touching what users made. */
  repair?: () => Promise<void> | void;
}
