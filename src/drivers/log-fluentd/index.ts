/** Docker's log driver "fluentd": the forward protocol in batches (forward mode), over TCP, TLS or a unix socket, with acknowledgements if wanted. */
import { randomBytes } from "node:crypto";
import type { LogDriver, LogOrigin, LogRecord, LogSink } from "../../core/log-driver.ts";
import { parseSocketUrl, splitHostPort } from "../../lib/socket-address.ts";
import { parseBool, parseDuration } from "../../lib/strconv.ts";
import { ResendingStream, type StreamAddress } from "../../sys/resending-stream.ts";
import { EventTime, Packer, type Packable } from "./msgpack.ts";

const PORT = 24_224;

type Options = Readonly<Record<string, string>>;

export const fluentdDriver: LogDriver = {
  id: "fluentd",
  open(origin, options) {
    const isOn = (key: string): boolean => (options[key] ?? "") !== "" && parseBool(options[key] as string);
    const encode = encoder(origin, isOn("fluentd-sub-second-precision"));
    const sink = isOn("fluentd-request-ack") ? acknowledged(options, encode) : plain(options, encode);
    const retries = options["fluentd-max-retries"] || undefined;
    const wait = options["fluentd-retry-wait"] || undefined;
    return {
      ...sink,
      ...(retries !== undefined && { tries: Number(retries) + 1 }),
      ...(wait !== undefined && { retryMilliseconds: parseDuration(wait) / 1e6 }),
      verify: () => (isOn("fluentd-async") ? Promise.resolve() : sink.verify()),
    };
  },
};

type Encode = (records: readonly LogRecord[], option: Readonly<Record<string, Packable>>) => Buffer;

/** [tag, [[time, record], ...], {"size": n, "chunk": id}] */
function encoder(origin: LogOrigin, precise: boolean): Encode {
  const known = { container_id: origin.id, container_name: `/${origin.name}` };
  const entry = (record: LogRecord): Packable => {
    const { text, stderr, part } = record;
    const parts = part && { partial_message: "true", partial_id: part.id, partial_ordinal: String(part.ordinal), partial_last: String(part.last) };
    return [timeOf(record.time, precise), { ...known, source: stderr ? "stderr" : "stdout", log: text, ...origin.attributes, ...parts }];
  };
  return (records, option) => new Packer().write([origin.tag, records.map(entry), { size: records.length, ...option }]).finish();
}

function timeOf(time: string, precise: boolean): Packable {
  const seconds = Math.floor(Date.parse(time) / 1000);
  return precise ? new EventTime(seconds, Number((/\.(\d+)Z$/.exec(time)?.[1] ?? "").padEnd(9, "0"))) : seconds;
}

function addressOf(options: Options): StreamAddress {
  const text = options["fluentd-address"] ?? "";
  const { scheme, host, path } = parseSocketUrl(text.includes("://") ? text : `tcp://${text}`);
  if (scheme === "unix") return { path };
  return { ...splitHostPort(host, { host: "127.0.0.1", port: PORT }), ...(scheme === "tls" && { tls: {} }) };
}

const milliseconds = (text: string | undefined): number => (text ? parseDuration(text) / 1e6 : 0);

function plain(options: Options, encode: Encode): LogSink {
  const connection = new ResendingStream(addressOf(options), { writeMilliseconds: milliseconds(options["fluentd-write-timeout"]) });
  return {
    verify: () => connection.open(),
    async send(records) {
      await connection.write(encode(records, {}));
      return undefined;
    },
    close: () => connection.close(),
    abort: () => connection.abort(),
  };
}

/** One batch is under way at a time: its id is all that the server says. */
function acknowledged(options: Options, encode: Encode): LogSink {
  let heard = "";
  let ring: (() => void) | undefined;
  let broken = false;
  const connection = new ResendingStream(addressOf(options), {
    resend: false,
    writeMilliseconds: milliseconds(options["fluentd-write-timeout"]),
    received(bytes) {
      heard += bytes.toString("latin1");
      ring?.();
    },
    closed() {
      broken = true;
      ring?.();
    },
  });
  const patience = milliseconds(options["fluentd-read-timeout"]);
  return {
    verify: () => connection.open(),
    async send(records) {
      const chunk = randomBytes(16).toString("base64");
      heard = "";
      await connection.open();
      broken = false;
      await connection.write(encode(records, { chunk }));
      const timer = patience > 0 ? setTimeout(() => connection.abort(), patience) : undefined;
      try {
        while (!heard.includes(chunk)) {
          if (broken) throw new Error("the connection was closed before the server acknowledged the records");
          await new Promise<void>((resolve) => (ring = resolve));
        }
      } finally {
        clearTimeout(timer);
      }
      return undefined;
    },
    close: () => connection.close(),
    abort: () => connection.abort(),
  };
}
