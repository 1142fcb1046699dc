/** Docker's log driver "gcplogs": entries of Google Cloud Logging, over its REST interface. */
import type { LogDriver, LogOrigin, LogRecord, LogSink } from "../../core/log-driver.ts";
import { HttpSender } from "../../sys/http-sender.ts";
import { Account, type Source } from "./account.ts";
import { findInstance, type Instance } from "./instance.ts";

/** Of a request, as Google's own client has it. */
const BATCH = 1000;
const ANSWER_BYTES = 64 * 1024;
const LOG_NAME = "gcplogs-docker-driver";

type Options = Readonly<Record<string, string>>;

export interface GcplogsOptions {
  env: Source["env"];
  /** Of another service than Google's. */
  endpoint?: string;
  /** Of the machine: the kernel's name of its maker. */
  productName?: () => string;
}

interface Entry {
  logName: string;
  resource: { type: string; labels: Record<string, string> };
  timestamp: string;
  insertId?: string;
  textPayload?: string;
  jsonPayload?: object;
}

export const createGcplogsDriver = (settings: GcplogsOptions): LogDriver => ({ id: "gcplogs", open: (origin, options) => new Sink(origin, options, settings) });

export const gcplogsDriver: LogDriver = createGcplogsDriver({ env: process.env });

class Sink implements LogSink {
  readonly #origin: LogOrigin;
  readonly #options: Options;
  readonly #settings: GcplogsOptions;
  readonly #http = new HttpSender({ answerBytes: ANSWER_BYTES });
  readonly #account: Account;
  #described: Promise<(record: LogRecord) => Entry> | undefined;

  constructor(origin: LogOrigin, options: Options, settings: GcplogsOptions) {
    this.#origin = origin;
    this.#options = options;
    this.#settings = settings;
    this.#account = new Account({ env: settings.env, http: this.#http });
  }

  /** As Google's client: one entry, which the service keeps once. */
  async verify(): Promise<void> {
    const { project } = await this.#instance();
    const ping: Entry = { logName: `projects/${project}/logs/ping`, resource: { type: "global", labels: {} }, timestamp: "1970-01-01T00:00:00Z", insertId: "ping", textPayload: "ping" };
    try {
      const refused = await this.#write([ping]);
      if (refused !== undefined) throw new Error(refused);
    } catch (error) {
      throw new Error(`unable to connect or authenticate with Google Cloud Logging: ${(error as Error).message}`, { cause: error });
    }
  }

  async send(records: readonly LogRecord[]): Promise<string | undefined> {
    this.#described ??= this.#describe();
    this.#described.catch(() => (this.#described = undefined));
    const entries = records.map(await this.#described);
    const refusals: (string | undefined)[] = [];
    for (let at = 0; at < entries.length; at += BATCH) refusals.push(await this.#write(entries.slice(at, at + BATCH)));
    return refusals.find((one) => one !== undefined);
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  abort(): void {
    this.#http.close();
  }

  #instance(): Promise<{ project: string; instance: Instance | undefined }> {
    return findInstance(this.#options, { ...this.#settings, http: this.#http });
  }

  async #describe(): Promise<(record: LogRecord) => Entry> {
    const { project, instance } = await this.#instance();
    const { id, name, imageName, imageId, created, command, attributes } = this.#origin;
    const container = {
      name: `/${name}`,
      id,
      imageName,
      imageId,
      created,
      command: this.#options["gcp-log-cmd"] === "true" ? command : undefined,
      metadata: Object.keys(attributes).length > 0 ? attributes : undefined,
    };
    const resource = instance ? { type: "gce_instance", labels: { instance_id: instance.id ?? "", zone: instance.zone ?? "" } } : { type: "project", labels: { project_id: project } };
    return ({ text, time }) => ({ logName: `projects/${project}/logs/${LOG_NAME}`, resource, timestamp: time, jsonPayload: { instance, container, message: text } });
  }

  /** The reason if the service will never take some of them. */
  async #write(entries: readonly Entry[]): Promise<string | undefined> {
    const { token, universe } = await this.#account.access();
    const url = new URL("/v2/entries:write", this.#settings.endpoint ?? `https://logging.${universe}`);
    const body = Buffer.from(JSON.stringify({ entries, partialSuccess: true }));
    const { status, line, text } = await this.#http.ask({ method: "POST", url, body, headers: { authorization: `Bearer ${token}`, "content-type": "application/json" } });
    if (status === 200) return undefined;
    if (status === 401) this.#account.forget();
    const problem = `${line}: ${messageIn(text)}`;
    if (status === 400) return problem;
    throw new Error(problem);
  }
}

/** Of Google's form of an error. */
function messageIn(text: string): string {
  try {
    return (JSON.parse(text) as { error: { message: string } }).error.message;
  } catch {
    return text.trim();
  }
}
