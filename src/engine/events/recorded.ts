/** An event with its time, in the forms in which clients and the journal have it: each is made once, however many want it. */
import type { Caller } from "../../core/caller.ts";
import type { EngineEvent } from "../../core/events.ts";

export class RecordedEvent {
  readonly event: EngineEvent;
  /** Nanoseconds since 1970. */
  readonly at: bigint;
  #json: Buffer | undefined;
  #legacyJson: Buffer | undefined;
  #journalLine: string | undefined;
  #audited: RecordedEvent | undefined;

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

  /** The same, with who asked for it as further attributes. */
  get audited(): RecordedEvent {
    const { actor, by } = this.event;
    this.#audited ??= by === undefined ? this : new RecordedEvent({ ...this.event, actor: { id: actor.id, attributes: { ...actor.attributes, ...callerAttributes(by) } } }, this.at);
    return this.#audited;
  }

  /** One line for the journal. */
  get journalLine(): string {
    this.#journalLine ??= `${JSON.stringify({ ...this.event, at: String(this.at) })}\n`;
    return this.#journalLine;
  }

  /** Of a line of the journal; undefined when it is none, as one that was cut off by a power cut. */
  static fromJournal(line: string): RecordedEvent | undefined {
    try {
      const { at, ...event } = JSON.parse(line) as Omit<EngineEvent, "at"> & { at: string };
      return new RecordedEvent(event, BigInt(at));
    } catch {
      return undefined;
    }
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

function callerAttributes({ pid, uid, program, address, certificate }: Caller): Record<string, string> {
  const known = { "peer.pid": pid, "peer.uid": uid, "peer.program": program, "peer.address": address, "peer.certificate": certificate };
  return Object.fromEntries(Object.entries(known).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]])));
}
