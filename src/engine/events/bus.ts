/**
 * The event bus: keeps events, the last ones in memory and more in the journal, and tells each to everyone who listens. A listener
 * decides what it wants by filters, and must not block.
 */
import { currentCaller } from "../../core/caller.ts";
import type { EngineEvent, EventSink } from "../../core/events.ts";
import { nowNanoseconds } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { matches } from "./filter.ts";
import type { EventJournal } from "./journal.ts";
import { RecordedEvent } from "./recorded.ts";

/** How many past events are kept in memory. Docker keeps 256. */
const HISTORY = 1024;

export interface Subscription {
  /**
   * Tells the past that was asked for, oldest first, then what came meanwhile; from then on events come as they happen, so none falls
   * between. `breathe` is waited for now and then: a long past must not be told faster than it is taken.
   */
  begin(breathe?: () => Promise<void> | undefined): Promise<void>;
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
  readonly #journal: EventJournal | undefined;
  #last = 0n;
  #count = 0;
  /** What happened since is all in memory. */
  #rememberedSince: bigint;

  constructor(warn: (message: string) => void, journal?: EventJournal) {
    this.#warn = warn;
    this.#journal = journal;
    this.#rememberedSince = nowNanoseconds();
  }

  /** How many events there were since the start. */
  get count(): number {
    return this.#count;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  emit(event: EngineEvent): void {
    this.#count++;
    const by = event.by ?? currentCaller();
    const recorded = new RecordedEvent(by === undefined ? event : { ...event, by }, event.at ?? this.#now());
    this.#journal?.append(recorded.journalLine, recorded.at);
    this.#past.push(recorded);
    if (this.#past.length > HISTORY) this.#rememberedSince = (this.#past.shift() as RecordedEvent).at + 1n;
    for (const [listener, filters] of this.#listeners) this.#tell(listener, recorded, filters);
  }

  /** Nothing is told before `begin`, and nothing is missed from now on. */
  subscribe(request: SubscriptionRequest, listener: Listener): Subscription {
    const { filters } = request;
    const waiting: RecordedEvent[] = [];
    const remembered = [...this.#past];
    const entry: { listener: Listener } = { listener: (event) => void waiting.push(event) };
    const told: Listener = (event) => entry.listener(event);
    this.#listeners.set(told, filters);
    const open = (): boolean => this.#listeners.has(told);
    return {
      begin: async (breathe) => {
        if (request.since !== undefined || request.until !== undefined) {
          for await (const batch of this.#pastOf(request, remembered, waiting)) {
            for (const event of batch) if (open()) this.#tell(listener, event, filters);
            await breathe?.();
            if (!open()) return;
          }
        }
        for (const event of waiting) this.#tell(listener, event, filters);
        entry.listener = listener;
      },
      close: () => void this.#listeners.delete(told),
    };
  }

  close(): void {
    this.#journal?.close();
  }

  #tell(listener: Listener, event: RecordedEvent, filters: Filters): void {
    try {
      if (matches(event.event, filters)) listener(event);
    } catch (error) {
      this.#warn(`an event's listener failed: ${messageOf(error)}`);
    }
  }

  /** What memory has not any more comes from the journal, up to the first line of what it has, or of what came meanwhile. */
  async *#pastOf({ since = 0n, until }: SubscriptionRequest, remembered: RecordedEvent[], waiting: readonly RecordedEvent[]): AsyncGenerator<RecordedEvent[]> {
    const wanted = ({ at }: RecordedEvent): boolean => at >= since && (until === undefined || at <= until);
    if (this.#journal && since < this.#rememberedSince) {
      const inMemory = new Set(remembered.map(({ journalLine }) => journalLine.trimEnd()));
      for await (const lines of this.#journal.read(since)) {
        for (const { journalLine } of waiting) inMemory.add(journalLine.trimEnd());
        const end = lines.findIndex((line) => inMemory.has(line));
        const events = (end < 0 ? lines : lines.slice(0, end)).map((line) => RecordedEvent.fromJournal(line)).filter((event) => event !== undefined);
        yield events.filter(wanted);
        if (end >= 0) break;
      }
    }
    yield remembered.filter(wanted);
  }

  /** Later than that of every event before. */
  #now(): bigint {
    const now = nowNanoseconds();
    this.#last = now > this.#last ? now : this.#last + 1n;
    return this.#last;
  }
}
