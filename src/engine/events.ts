/**
 * The event bus: keeps the last events, and tells each to everyone who listens. An event is turned to JSON once, however many
 * listeners there are. A listener decides what it wants by filters, and must not block.
 */
import type { EngineEvent, EventSink } from "../core/events.ts";
import { nowNanoseconds } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import type { Filters } from "../lib/filters.ts";
import { familiarRepository, parseReference } from "../lib/reference.ts";

/** How many past events are kept. Docker keeps 256. */
const HISTORY = 1024;

export class RecordedEvent {
  readonly event: EngineEvent;
  /** Nanoseconds since 1970. */
  readonly at: bigint;
  #json: Buffer | undefined;
  #legacyJson: Buffer | undefined;

  constructor(event: EngineEvent, at: bigint) {
    this.event = event;
    this.at = at;
  }

  /** One line, as API 1.52 and later have it. */
  get json(): Buffer {
    this.#json ??= Buffer.from(`${this.#body()}}\n`);
    return this.#json;
  }

  /** One line with the further fields that older clients read. */
  get legacyJson(): Buffer {
    this.#legacyJson ??= Buffer.from(`${this.#body()}${this.#legacyFields()}}\n`);
    return this.#legacyJson;
  }

  #body(): string {
    const { type, action, actor } = this.event;
    const attributes = Object.keys(actor.attributes).sort().map((key) => `${JSON.stringify(key)}:${JSON.stringify(actor.attributes[key])}`);
    return `{"Type":${JSON.stringify(type)},"Action":${JSON.stringify(action)},"Actor":{"ID":${JSON.stringify(actor.id)},"Attributes":{${attributes.join(",")}}},"scope":"local","time":${this.at / 1_000_000_000n},"timeNano":${this.at}`;
  }

  #legacyFields(): string {
    const { type, action, actor } = this.event;
    if (type !== "container" && type !== "image") return "";
    const from = type === "container" ? `,"from":${JSON.stringify(actor.attributes["image"] ?? "")}` : "";
    return `,"status":${JSON.stringify(action)},"id":${JSON.stringify(actor.id)}${from}`;
  }
}

export interface Subscription {
  /** Past events that were asked for, oldest first. */
  past: RecordedEvent[];
  close(): void;
}

export interface SubscriptionRequest {
  /** Nanoseconds since 1970. With neither, there are no past events. */
  since: bigint | undefined;
  until: bigint | undefined;
  filters: Filters;
}

type Listener = (event: RecordedEvent) => void;

export class EventBus implements EventSink {
  readonly #past: RecordedEvent[] = [];
  readonly #listeners = new Map<Listener, Filters>();
  readonly #warn: (message: string) => void;
  #last = 0n;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  emit(event: EngineEvent): void {
    const recorded = new RecordedEvent(event, event.at ?? this.#now());
    this.#past.push(recorded);
    if (this.#past.length > HISTORY) this.#past.shift();
    for (const [listener, filters] of this.#listeners) {
      try {
        if (matches(event, filters)) listener(recorded);
      } catch (error) {
        this.#warn(`an event's listener failed: ${messageOf(error)}`);
      }
    }
  }

  /** What was asked of the past, and from now on each event by `listener`: none falls between. */
  subscribe(request: SubscriptionRequest, listener: Listener): Subscription {
    this.#listeners.set(listener, request.filters);
    return { past: this.#pastOf(request), close: () => void this.#listeners.delete(listener) };
  }

  #pastOf({ since, until, filters }: SubscriptionRequest): RecordedEvent[] {
    if (since === undefined && until === undefined) return [];
    return this.#past.filter(({ event, at }) => at >= (since ?? 0n) && (until === undefined || at <= until) && matches(event, filters));
  }

  /** Later than that of every event before. */
  #now(): bigint {
    const now = nowNanoseconds();
    this.#last = now > this.#last ? now : this.#last + 1n;
    return this.#last;
  }
}

const NAMED_TYPES = ["daemon", "container", "plugin", "volume", "network", "service", "node", "secret", "config"];

/** True when an event passes all filters of an `events` request. */
export function matches(event: EngineEvent, filters: Filters): boolean {
  if (filters.isEmpty) return true;
  return (
    matchesAction(event.action, filters) &&
    filters.exact("type", event.type) &&
    filters.exact("scope", "local") &&
    NAMED_TYPES.every((type) => filters.prefix(type, event.actor.id) || filters.prefix(type, event.actor.attributes["name"] ?? "")) &&
    matchesImage(event, filters) &&
    filters.labels("label", event.actor.attributes)
  );
}

/** Actions that say more behind a colon match by their beginning. */
function matchesAction(action: string, filters: Filters): boolean {
  const open = ["health_status", "exec_create", "exec_start"].some((name) => filters.values("event").includes(name));
  return open ? filters.prefix("event", action) : filters.exact("event", action);
}

function matchesImage({ type, actor }: EngineEvent, filters: Filters): boolean {
  if (!filters.has("image")) return true;
  const name = actor.attributes[type === "image" ? "name" : "image"] ?? "";
  return [actor.id, name, withoutTag(actor.id), withoutTag(name)].some((text) => filters.exact("image", text));
}

function withoutTag(image: string): string {
  try {
    return familiarRepository(parseReference(image));
  } catch {
    return image;
  }
}
