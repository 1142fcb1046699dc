import type { Caller } from "./caller.ts";

/** What happened, as `docker events` tells it. */
export interface EngineEvent {
  type: "container" | "image" | "network" | "volume" | "daemon" | "plugin" | "builder" | "service" | "node" | "secret" | "config";
  action: string;
  actor: { id: string; attributes: Record<string, string> };
  /** Nanoseconds since 1970; the bus sets it when absent. */
  at?: bigint;
  /** Whose request it follows from; the bus sets it when absent. Of what the engine does by itself there is none. */
  by?: Caller;
}

export interface EventSink {
  emit(event: EngineEvent): void;
}
