/** What the daemon and gantry-logs say to each other: JSON documents, one a line. */
import type { ForwardTarget } from "../../core/log-forwarder.ts";

export type LogCommand =
  | { kind: "verify"; serial: number; target: ForwardTarget }
  | { kind: "forward"; target: ForwardTarget }
  | { kind: "end"; id: string; run: number }
  | { kind: "drop"; id: string };

export type LogReport =
  | { kind: "verified"; serial: number; problem?: string }
  /** All of what was written until that end is sent. */
  | { kind: "drained"; id: string; run: number }
  /** It is not forwarded any more; it is to be started again. */
  | { kind: "failed"; id: string }
  | { kind: "warning"; text: string };
