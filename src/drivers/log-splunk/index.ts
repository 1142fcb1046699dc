/** Docker's log driver "splunk": batches of events for the HTTP Event Collector. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { LogDriver, LogOrigin, LogRecord, LogSink } from "../../core/log-driver.ts";
import { messageOf } from "../../lib/errors.ts";
import { atoi, parseBool } from "../../lib/strconv.ts";
import { HttpSender } from "../../sys/http-sender.ts";

/** As many as Docker's. */
const BATCH = 1000;
const ANSWER_BYTES = 1024;

type Options = Readonly<Record<string, string>>;

export const splunkDriver: LogDriver = {
  id: "splunk",
  open(origin, options) {
    const collector = new Collector(urlOf(options), options);
    const encode = encoder(origin, options);
    const pack = compressor(options);
    const verifies = flag(options, "splunk-verify-connection", true);
    const post = async (messages: string[]): Promise<string | undefined> => {
      const answer = await collector.ask("POST", await pack(Buffer.from(messages.join(""))));
      if (answer.status === 200) return undefined;
      const problem = `splunk: failed to send event - ${answer.text}`;
      if (answer.status !== 400) throw new Error(problem);
      // The collector takes all or nothing: what is wrong with one would hold up all that follows.
      if (messages.length === 1) return problem;
      const problems: (string | undefined)[] = [];
      for (const message of messages) problems.push(await post([message]));
      return problems.find((one) => one !== undefined);
    };
    return {
      async verify() {
        if (!verifies) return;
        const answer = await collector.ask("OPTIONS", undefined);
        if (answer.status !== 200) throw new Error(`splunk: failed to verify connection - ${answer.text}`);
      },
      async send(records) {
        const messages = records.flatMap(encode);
        const problems: (string | undefined)[] = [];
        for (let at = 0; at < messages.length; at += BATCH) problems.push(await post(messages.slice(at, at + BATCH)));
        return problems.find((one) => one !== undefined);
      },
      close: async () => collector.close(),
      abort: () => collector.close(),
    } satisfies LogSink;
  },
};

function flag(options: Options, key: string, other: boolean): boolean {
  const text = options[key];
  return text === undefined ? other : parseBool(text);
}

/** Throws Docker's words. */
function urlOf(options: Options): URL {
  const text = options["splunk-url"];
  if (text === undefined) throw new Error("splunk: splunk-url is expected");
  if (options["splunk-token"] === undefined) throw new Error("splunk: splunk-token is expected");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !["http:", "https:"].includes(url.protocol) || url.pathname !== "/" || url.search !== "" || url.hash !== "") throw new Error("splunk: expected format scheme://dns_name_or_ip:port for splunk-url");
  url.pathname = "/services/collector/event/1.0";
  return url;
}

/** No text for what the collector refuses: events of spaces, raw. */
function encoder(origin: LogOrigin, options: Options): (record: LogRecord) => string[] {
  const format = options["splunk-format"] ?? "inline";
  if (!["inline", "json", "raw"].includes(format)) throw new Error(`unknown format specified ${format}, supported formats are inline, json and raw`);
  const entries = Object.entries(origin.attributes);
  const prefix = [origin.tag, ...entries.map(([key, value]) => `${key}=${value}`)].filter((part) => part !== "").map((part) => `${part} `).join("");
  const place = { host: origin.hostName, source: options["splunk-source"] || undefined, sourcetype: options["splunk-sourcetype"] || undefined, index: options["splunk-index"] || undefined };
  const event = (record: LogRecord): unknown =>
    format === "raw" ? prefix + record.text : { line: format === "json" ? parsed(record.text) : record.text, source: record.stderr ? "stderr" : "stdout", tag: origin.tag || undefined, attrs: entries.length > 0 ? origin.attributes : undefined };
  return (record) => (format === "raw" && record.text.trim() === "" ? [] : [JSON.stringify({ event: event(record), time: secondsOf(record.time), ...place })]);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** Seconds with six digits. */
function secondsOf(time: string): string {
  const fraction = /\.(\d+)Z$/.exec(time)?.[1] ?? "";
  return `${Math.floor(Date.parse(time) / 1000)}.${fraction.padEnd(6, "0").slice(0, 6)}`;
}

function compressor(options: Options): ((body: Buffer) => Promise<Buffer>) {
  const level = options["splunk-gzip-level"] === undefined ? -1 : atoi(options["splunk-gzip-level"]);
  if (level < -1 || level > 9) throw new Error(`not supported level '${options["splunk-gzip-level"]}' for splunk-gzip-level (supported values between -1 and 9)`);
  if (!flag(options, "splunk-gzip", false)) return async (body) => body;
  const gzip = promisify(process.getBuiltinModule("node:zlib").gzip) as (body: Buffer, options: object) => Promise<Buffer>;
  return (body) => gzip(body, { level });
}

/** Kept connections to the collector. */
class Collector {
  readonly #url: URL;
  readonly #headers: Record<string, string>;
  readonly #acknowledges: boolean;
  readonly #http: HttpSender;

  constructor(url: URL, options: Options) {
    this.#url = url;
    this.#headers = { authorization: `Splunk ${options["splunk-token"]}`, ...(flag(options, "splunk-gzip", false) && { "content-encoding": "gzip" }) };
    this.#acknowledges = flag(options, "splunk-index-acknowledgment", false);
    const ca = options["splunk-capath"];
    const name = options["splunk-caname"];
    const tls = { rejectUnauthorized: !flag(options, "splunk-insecureskipverify", false), ...(ca !== undefined && { ca: readFileSync(ca) }), ...(name !== undefined && { servername: name }) };
    this.#http = new HttpSender({ tls, answerBytes: ANSWER_BYTES });
  }

  async ask(method: "OPTIONS" | "POST", body: Buffer | undefined): Promise<{ status: number; text: string }> {
    const headers = body === undefined ? {} : { ...this.#headers, ...(this.#acknowledges && { "x-splunk-request-channel": randomUUID() }) };
    try {
      const { status, line, text } = await this.#http.ask({ method, url: this.#url, headers, ...(body && { body }) });
      return { status, text: `${line} - ${text}` };
    } catch (error) {
      throw new Error(`${method === "POST" ? "Post" : "Options"} "${this.#url.href}": ${messageOf(error)}`, { cause: error });
    }
  }

  close(): void {
    this.#http.close();
  }
}
