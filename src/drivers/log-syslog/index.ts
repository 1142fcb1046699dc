/** Docker's log driver "syslog": over UDP, TCP, TLS and unix sockets. */
import { existsSync, readFileSync } from "node:fs";
import type { LogDriver, LogRecord, LogSink } from "../../core/log-driver.ts";
import { parseSocketUrl, splitHostPort } from "../../lib/socket-address.ts";
import { DatagramClient } from "../../sys/datagram-client.ts";
import { ResendingStream, type StreamAddress } from "../../sys/resending-stream.ts";
import { facilityOf, formatMessage, type Header } from "./format.ts";

const PORT = 514;
const LOCAL_SOCKETS = ["/dev/log", "/var/run/syslog", "/var/run/log"];

type Options = Readonly<Record<string, string>>;

export const syslogDriver: LogDriver = {
  id: "syslog",
  open(origin, options) {
    const format = (options["syslog-format"] ?? "") as Header["format"];
    const header = { format, facility: facilityOf(options["syslog-facility"] ?? ""), hostName: origin.hostName, tag: origin.tag, pid: process.pid };
    const messages = (records: readonly LogRecord[]): string[] => records.filter(({ text }) => text !== "").map((record) => `${formatMessage(header, record)}\n`);
    const { scheme, host, path } = parseSocketUrl(options["syslog-address"] ?? "");
    const server = splitHostPort(host, { host: "localhost", port: PORT });
    if (scheme === "udp") return datagrams(new DatagramClient(server), messages);
    if (scheme === "unixgram") return datagrams(new DatagramClient({ path }), messages);
    if (scheme === "") return datagrams(new DatagramClient({ path: localSocket }), messages);
    // RFC 5425: lengths before messages.
    const framed = scheme === "tcp+tls" && format.startsWith("rfc5424");
    const frame = (message: string): string => (framed ? `${Buffer.byteLength(message)} ${message}` : message);
    const address: StreamAddress = scheme === "unix" ? { path } : { ...server, ...(scheme === "tcp+tls" && { tls: tlsOf(options) }) };
    return stream(address, (records) => messages(records).map(frame).join(""));
  },
};

function stream(address: StreamAddress, encode: (records: readonly LogRecord[]) => string): LogSink {
  const connection = new ResendingStream(address);
  return {
    verify: () => connection.open(),
    async send(records) {
      await connection.write(Buffer.from(encode(records)));
      return undefined;
    },
    close: () => connection.close(),
    abort: () => connection.abort(),
  };
}

function datagrams(client: DatagramClient, encode: (records: readonly LogRecord[]) => string[]): LogSink {
  return {
    verify: () => client.open(),
    async send(records) {
      const refused = await client.send(encode(records).map((message) => Buffer.from(message)));
      return refused === 0 ? undefined : `${refused} are larger than a datagram`;
    },
    close: () => client.close(),
    abort: () => void client.close(),
  };
}

function localSocket(): string {
  const found = LOCAL_SOCKETS.find((path) => existsSync(path));
  if (found === undefined) throw new Error("Unix syslog delivery error");
  return found;
}

/** A key that says to skip the verification does so with any value. */
function tlsOf(options: Options): NonNullable<StreamAddress["tls"]> {
  const file = (key: string): Buffer | undefined => (options[key] ? readFileSync(options[key]) : undefined);
  const [ca, cert, key] = [file("syslog-tls-ca-cert"), file("syslog-tls-cert"), file("syslog-tls-key")];
  return { rejectUnauthorized: options["syslog-tls-skip-verify"] === undefined, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
