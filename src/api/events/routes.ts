/** GET /events: past events, then live ones until `until` or until the client leaves. */
import type { EventBus } from "../../engine/events/bus.ts";
import type { RecordedEvent } from "../../engine/events/recorded.ts";
import { forbidden, invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { parseUnixTimestamp } from "../../lib/timestamp.ts";
import { atLeast, boolQuery, type Call, type Route } from "../route.ts";

/** A listener that is behind by more bytes is cut off: it must not fill the daemon's memory. */
const MAX_BEHIND_BYTES = 4 * 1024 * 1024;
const NANOSECONDS_PER_MILLISECOND = 1_000_000n;
/** The longest that setTimeout takes. */
const MAX_TIMEOUT = 2 ** 31 - 1;
const FORMS = ["application/jsonl", "application/x-ndjson", "application/json-seq"];
const RECORD_SEPARATOR = Buffer.from([0x1e]);

export function eventRoutes(bus: EventBus): Route[] {
  return [{ method: "GET", path: "/events", handler: (call) => handleEvents(bus, call) }];
}

function handleEvents(bus: EventBus, call: Call): Promise<void> {
  const since = timeOf(call, "since");
  const until = timeOf(call, "until");
  if (until !== undefined && since !== undefined && until < since) {
    throw invalidParameter(`\`since\` time (${call.query.get("since")}) cannot be after \`until\` time (${call.query.get("until")})`);
  }
  const filters = parseFilters(call.query.get("filters"));
  if (call.confinement && boolQuery(call.query, "audit")) throw forbidden("this socket does not tell who asked for what");
  const type = contentType(call);
  const write = writer(call, type);
  call.res.writeHead(200, { "content-type": type });
  call.res.flushHeaders();

  return new Promise((resolve) => {
    const subscription = bus.subscribe({ since, until, filters }, write);
    const end = (): void => {
      subscription.close();
      call.res.end();
      resolve();
    };
    const left = until === undefined ? undefined : Number(until / NANOSECONDS_PER_MILLISECOND) - Date.now();
    // The past is told whole, also when the time is over meanwhile.
    const begun = subscription.begin(() => drained(call)).catch((error: unknown) => call.res.destroy(error as Error));
    const timer = left === undefined || left > MAX_TIMEOUT ? undefined : setTimeout(() => void begun.then(end), Math.max(left, 0));
    call.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      end();
    });
  });
}

function timeOf(call: Call, key: "since" | "until"): bigint | undefined {
  const text = call.query.get(key) ?? "";
  if (text === "") return undefined;
  try {
    return parseUnixTimestamp(text);
  } catch (cause) {
    throw invalidParameter(`invalid value for '${key}': ${messageOf(cause)}`, cause);
  }
}

/** Resolves when the client has taken what was written, or is gone. */
function drained({ res }: Call): Promise<void> | undefined {
  const { socket } = res;
  if (socket === null || socket.destroyed || !socket.writableNeedDrain) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      socket.removeListener("drain", done);
      socket.removeListener("close", done);
      resolve();
    };
    socket.once("drain", done);
    socket.once("close", done);
  });
}

/** The form that the client names with the highest quality; by default one JSON document a line. */
function contentType(call: Call): string {
  let best = atLeast(call.version, 52) ? "application/jsonl" : "application/json";
  let bestQuality = 0;
  for (const item of (call.req.headers.accept ?? "").split(",")) {
    const [type = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    const quality = Number(parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? 1);
    if (!FORMS.includes(type) || !(quality > bestQuality)) continue;
    best = type;
    bestQuality = quality;
  }
  return best;
}

function writer(call: Call, type: string): (event: RecordedEvent) => void {
  const legacy = !atLeast(call.version, 52);
  const imageCreates = atLeast(call.version, 46);
  // Gantry's own: who asked for it.
  const audit = boolQuery(call.query, "audit");
  return (told) => {
    const recorded = audit ? told.audited : told;
    const { event } = recorded;
    if (!imageCreates && event.type === "image" && event.action === "create") return;
    if (call.res.writableLength > MAX_BEHIND_BYTES) {
      call.res.destroy();
      return;
    }
    const line = legacy ? recorded.legacyJson : recorded.json;
    if (type === "application/json-seq") call.res.write(Buffer.concat([RECORD_SEPARATOR, line]));
    else if (call.res.chunkedEncoding) call.res.socket?.write(chunkOf(line));
    else call.res.write(line);
  };
}

const chunks = new WeakMap<Buffer, Buffer>();

/** The line as a chunk of HTTP/1.1, made once for all listeners: Node would make it anew for each, and write it in three parts a turn later. */
function chunkOf(line: Buffer): Buffer {
  let chunk = chunks.get(line);
  if (!chunk) chunks.set(line, (chunk = Buffer.concat([Buffer.from(`${line.length.toString(16)}\r\n`), line, Buffer.from("\r\n")])));
  return chunk;
}
