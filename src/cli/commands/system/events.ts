import { messageOf } from "../../../lib/errors.ts";
import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { parseTime } from "../../parse/time.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";
import { compile, execute } from "../../../lib/template/execute.ts";
import type { Template } from "../../../lib/template/parse.ts";
import { TemplateObject } from "../../../lib/template/values.ts";

interface EventMessage {
  status?: string;
  id?: string;
  from?: string;
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> | null };
  scope?: string;
  time?: number;
  timeNano?: number;
}

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const format = flags.string("format");
  const template = format === "" || format === "json" ? undefined : templateOf(format);
  const time = (name: string): string | undefined => (flags.string(name) === "" ? undefined : parseTime(flags.string(name)));
  const response = await session.client.stream("GET", "/events", { query: { audit: flags.bool("audit") ? "1" : undefined, since: time("since"), until: time("until"), filters: encodeFilters(filterQuery(flags.list("filter"))) } });
  for await (const line of lines(response.body)) {
    if (format === "json") session.out.line(line);
    else {
      const event = JSON.parse(line) as EventMessage;
      const nanoseconds = /"timeNano":\s*(\d+)/.exec(line)?.[1];
      session.out.line(template ? execute(template, eventObject(event)) : eventText(event, nanoseconds));
    }
  }
}

/** Each event as the daemon wrote it: nanoseconds do not fit a double. */
async function* lines(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part.trim() !== "") yield part.trim();
  }
  if (rest.trim() !== "") yield rest.trim();
}

function templateOf(format: string): Template {
  try {
    const template = compile(format);
    execute(template, eventObject({ Type: "", Action: "", Actor: { ID: "", Attributes: {} } }));
    return template;
  } catch (thrown) {
    throw new StatusError(64, `Error parsing format: ${messageOf(thrown)}`);
  }
}

class EventObject extends TemplateObject {
  readonly #event: EventMessage;
  constructor(event: EventMessage) {
    super("*events.Message", {
      Status: event.status ?? "", ID: event.id ?? "", From: event.from ?? "", Type: event.Type, Action: event.Action,
      Actor: new TemplateObject("events.Actor", { ID: event.Actor.ID, Attributes: event.Actor.Attributes ?? {} }),
      Scope: event.scope ?? "", Time: event.time ?? 0, TimeNano: event.timeNano ?? 0,
    });
    this.#event = event;
  }
  override toJSON(): unknown {
    return this.#event;
  }
}

const eventObject = (event: EventMessage): TemplateObject => new EventObject(event);

function eventText(event: EventMessage, nanoseconds: string | undefined): string {
  const time = nanoseconds === undefined || nanoseconds === "0" ? (event.time ? `${localTime(event.time, "000000000")} ` : "") : `${localTime(Number(nanoseconds.slice(0, -9)), nanoseconds.slice(-9))} `;
  const attributes = Object.entries(event.Actor.Attributes ?? {}).sort(([one], [two]) => (one < two ? -1 : 1)).map(([name, value]) => `${name}=${value}`);
  return `${time}${event.Type} ${event.Action} ${event.Actor.ID}${attributes.length === 0 ? "" : ` (${attributes.join(", ")})`}`;
}

/** RFC 3339 in local time with nine decimals. */
function localTime(seconds: number, nanoseconds: string): string {
  const offset = -new Date(seconds * 1000).getTimezoneOffset();
  const local = new Date((seconds + offset * 60) * 1000).toISOString().slice(0, 19);
  const size = Math.abs(offset);
  const pad = (value: number): string => String(value).padStart(2, "0");
  return `${local}.${nanoseconds}${offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${pad(Math.trunc(size / 60))}:${pad(size % 60)}`}`;
}

