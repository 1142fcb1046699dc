/** Docker's log driver "awslogs": events of CloudWatch Logs, over its JSON protocol. */
import { setTimeout as delay } from "node:timers/promises";
import type { LogDriver, LogRecord, LogSink } from "../../core/log-driver.ts";
import { atoi, parseBool } from "../../lib/strconv.ts";
import { HttpSender } from "../../sys/http-sender.ts";
import { findCredentials, findRegion, type Found, type Source } from "./credentials.ts";
import { eventPattern } from "./event-pattern.ts";
import { signed } from "./signature.ts";

/** The service's limits: bytes and events of a request, and of an event, for which it counts 26 bytes more than its text. */
const REQUEST_BYTES = 1_048_576;
const REQUEST_EVENTS = 10_000;
const EVENT_EXTRA = 26;
const EVENT_BYTES = 262_144 - EVENT_EXTRA;
const FLUSH_SECONDS = 5;
/** What is as large is sent at once. */
const LARGE = 1000;

type Options = Readonly<Record<string, string>>;

export interface LogEvent {
  message: string;
  /** Milliseconds since 1970. */
  timestamp: number;
}

export const createAwslogsDriver = (env: Source["env"]): LogDriver => ({
  id: "awslogs",
  open(origin, options) {
    return sink(new Stream(options["awslogs-stream"] || origin.tag, options, env), options);
  },
});

export const awslogsDriver: LogDriver = createAwslogsDriver(process.env);

function sink(stream: Stream, options: Options): LogSink {
  const pause = options["awslogs-force-flush-interval-seconds"] ? atoi(options["awslogs-force-flush-interval-seconds"]) * 1000 : FLUSH_SECONDS * 1000;
  const pattern = eventPattern(options);
  const begins = pattern && ((text: string): boolean => pattern.test(text));
  let stopped = new AbortController();
  let last = -Infinity;
  return {
    ...(begins && { events: { begins, milliseconds: pause } }),
    // With non-blocking, Docker's containers start without the service, too.
    verify: () => (options["mode"] === "non-blocking" ? Promise.resolve() : stream.create()),
    async send(records) {
      const left = last + pause - performance.now();
      if (records.length < LARGE && left > 0) await delay(left, undefined, { signal: stopped.signal });
      last = performance.now();
      return stream.put(eventsOf(records, begins));
    },
    async close() {
      stream.close();
    },
    abort() {
      stopped.abort();
      stopped = new AbortController();
      stream.close();
    },
  };
}

/** Parts of a line, and lines up to the next one that begins an event, are one event, as far as they are here together and fit. Lines of such events keep their ends. */
export function eventsOf(records: readonly LogRecord[], begins?: (text: string) => boolean): LogEvent[] {
  const events: LogEvent[] = [];
  let before: LogRecord["part"];
  for (const { text, time, part } of records) {
    const event = events.at(-1);
    const goesOn = (part !== undefined && part.id === before?.id) || (begins !== undefined && !begins(text));
    const line = begins === undefined || part?.last === false ? text : `${text}\n`;
    if (event && goesOn && Buffer.byteLength(event.message) + Buffer.byteLength(line) <= EVENT_BYTES) event.message += line;
    else if (line !== "") events.push({ message: line, timestamp: Date.parse(time) });
    before = part;
  }
  return events;
}

/** One stream of a group. */
class Stream {
  readonly #name: string;
  readonly #options: Options;
  readonly #source: Source;
  readonly #http = new HttpSender();
  #found: Found | undefined;
  #region: string | undefined;

  constructor(name: string, options: Options, env: Source["env"]) {
    this.#name = name;
    this.#options = options;
    this.#source = { endpoint: options["awslogs-credentials-endpoint"], env, http: this.#http };
  }

  close(): void {
    this.#http.close();
  }

  /** The stream, and the group if that is asked for. */
  async create(): Promise<void> {
    if (!this.#isOn("awslogs-create-stream", true)) return;
    const problem = await this.#tryCreate("CreateLogStream");
    if (problem?.kind === "ResourceNotFoundException" && this.#isOn("awslogs-create-group", false)) {
      const group = await this.#tryCreate("CreateLogGroup");
      if (group) throw new Error(`failed to create Cloudwatch log group: ${group.text}`);
      const again = await this.#tryCreate("CreateLogStream");
      if (again) throw new Error(`failed to create Cloudwatch log stream: ${again.text}`);
    } else if (problem) throw new Error(`failed to create Cloudwatch log stream: ${problem.text}`);
  }

  /** The reason if some of them are refused: too old or too new for the group. */
  async put(events: readonly LogEvent[]): Promise<string | undefined> {
    // The service wants them in order of time.
    const sorted = events.toSorted((a, b) => a.timestamp - b.timestamp);
    let refused: string | undefined;
    for (const batch of batchesOf(sorted)) refused = (await this.#putBatch(batch)) ?? refused;
    return refused;
  }

  async #putBatch(logEvents: readonly LogEvent[]): Promise<string | undefined> {
    const request = { logEvents, logGroupName: this.#group, logStreamName: this.#name };
    let answer = await this.#call("PutLogEvents", request);
    if (answer.kind === "ResourceNotFoundException") {
      await this.create();
      answer = await this.#call("PutLogEvents", request);
    }
    // They are there already.
    if (answer.kind === "DataAlreadyAcceptedException") return undefined;
    if (answer.kind !== undefined) throw new Error(`failed to put log events: ${answer.text}`);
    return answer.text.includes("rejectedLogEventsInfo") ? `CloudWatch Logs rejected some: ${answer.text}` : undefined;
  }

  get #group(): string {
    return this.#options["awslogs-group"] ?? "";
  }

  #isOn(key: string, other: boolean): boolean {
    const text = this.#options[key] ?? "";
    return text === "" ? other : parseBool(text);
  }

  async #tryCreate(action: "CreateLogStream" | "CreateLogGroup"): Promise<{ kind: string; text: string } | undefined> {
    const { kind, text } = await this.#call(action, { logGroupName: this.#group, ...(action === "CreateLogStream" && { logStreamName: this.#name }) });
    return kind === undefined || kind === "ResourceAlreadyExistsException" ? undefined : { kind, text };
  }

  /** `kind`: what went wrong. */
  async #call(action: string, request: object): Promise<{ kind?: string; text: string }> {
    const region = (this.#region ??= await findRegion(this.#options["awslogs-region"], this.#source));
    if (!this.#found || this.#found.until <= Date.now()) this.#found = await findCredentials(this.#source);
    const url = new URL(this.#options["awslogs-endpoint"] || `https://logs.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}/`);
    const body = Buffer.from(JSON.stringify(request));
    const format = this.#options["awslogs-format"] ? { "x-amzn-logs-format": "json/emf" } : {};
    const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": `Logs_20140328.${action}`, ...format };
    const { status, line, text } = await this.#http.ask({ method: "POST", url, body, headers: signed({ method: "POST", url, headers, body }, { credentials: this.#found.credentials, scope: { region, service: "logs" }, now: new Date() }) });
    if (status === 200) return { text };
    const kind = /"__type"\s*:\s*"(?:[^"#]*#)?([^"]+)"/.exec(text)?.[1] ?? line;
    if (kind.startsWith("ExpiredToken")) this.#found = undefined;
    return { kind, text: `${kind}: ${text.trim()}` };
  }
}

function* batchesOf(events: readonly LogEvent[]): Generator<LogEvent[]> {
  let batch: LogEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = Buffer.byteLength(event.message) + EVENT_EXTRA;
    if (batch.length > 0 && (bytes + size > REQUEST_BYTES || batch.length === REQUEST_EVENTS || event.timestamp - (batch[0] as LogEvent).timestamp > DAY_MS)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(event);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** One request has no more than a day. */
const DAY_MS = 24 * 60 * 60 * 1000;
