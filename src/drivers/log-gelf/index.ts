/** Docker's log driver "gelf": the Graylog Extended Log Format 1.1, over UDP, compressed and in chunks, or TCP. */
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { LogDriver, LogOrigin, LogRecord, LogSink } from "../../core/log-driver.ts";
import { renamed } from "../../core/log-driver.ts";
import { parseSocketUrl, splitHostPort } from "../../lib/socket-address.ts";
import { DatagramClient } from "../../sys/datagram-client.ts";
import { ResendingStream } from "../../sys/resending-stream.ts";

/** A datagram that fits into an Ethernet frame with room for tunnels. */
const CHUNK = 1420;
const CHUNK_HEADER = 12;
const CHUNKS_MOST = 128;
const FASTEST = 1;
const ERROR = 3;
const INFO = 6;

type Options = Readonly<Record<string, string>>;

export const gelfDriver: LogDriver = {
  id: "gelf",
  open(origin, options) {
    const { scheme, host } = parseSocketUrl(options["gelf-address"] ?? "");
    const server = splitHostPort(host, { host: "127.0.0.1", port: 12201 });
    const encode = encoder(origin);
    return scheme === "tcp" ? overTcp(server, { encode, options }) : overUdp(server, { encode, options });
  },
};

function encoder(origin: LogOrigin): (record: LogRecord) => string {
  const extra = JSON.stringify({
    ...{ _command: origin.command, _container_id: origin.id, _container_name: origin.name, _created: origin.created, _image_id: origin.imageId, _image_name: origin.imageName, _tag: origin.tag },
    ...renamed(origin.attributes, (key) => (key.startsWith("_") ? key : `_${key}`)),
  }).slice(1);
  const head = `{"version":"1.1","host":${JSON.stringify(origin.hostName)},"short_message":`;
  return ({ text, stderr, time }) => `${head}${JSON.stringify(text)},"timestamp":${Date.parse(time) / 1000},"level":${stderr ? ERROR : INFO},${extra}`;
}

interface Settings {
  encode: (record: LogRecord) => string;
  options: Options;
}

const messagesOf = (records: readonly LogRecord[], encode: Settings["encode"]): string[] => records.filter(({ text }) => text !== "").map(encode);

/** Who says how often wants it given up then; nobody else does. */
function overTcp(server: { host: string; port: number }, { encode, options }: Settings): LogSink {
  const connection = new ResendingStream(server);
  const most = options["gelf-tcp-max-reconnect"];
  const seconds = options["gelf-tcp-reconnect-delay"];
  return {
    ...(most !== undefined && { tries: Number(most) + 1 }),
    ...(seconds !== undefined && { retryMilliseconds: Number(seconds) * 1000 }),
    verify: () => connection.open().catch((error: Error) => Promise.reject(new Error(`gelf: cannot connect to GELF endpoint: ${options["gelf-address"]?.replace(/^tcp:\/\//, "")} ${error.message}`))),
    async send(records) {
      await connection.write(Buffer.from(messagesOf(records, encode).map((message) => `${message}\0`).join("")));
      return undefined;
    },
    close: () => connection.close(),
    abort: () => connection.abort(),
  };
}

function overUdp(server: { host: string; port: number }, { encode, options }: Settings): LogSink {
  const client = new DatagramClient(server);
  const compress = compressor(options);
  return {
    verify: () => client.open().catch((error: Error) => Promise.reject(new Error(`gelf: cannot connect to GELF endpoint: ${options["gelf-address"]?.replace(/^udp:\/\//, "")} ${error.message}`))),
    async send(records) {
      const packed = await Promise.all(messagesOf(records, encode).map((message) => compress(Buffer.from(message))));
      const parts = packed.map(chunks);
      await client.send(parts.flat());
      const refused = parts.filter(({ length }) => length === 0).length;
      return refused === 0 ? undefined : `${refused} are larger than 128 chunks`;
    },
    close: () => client.close(),
    abort: () => void client.close(),
  };
}

function compressor(options: Options): (message: Buffer) => Promise<Buffer> {
  const type = options["gelf-compression-type"] ?? "gzip";
  if (type === "none") return async (message) => message;
  const { gzip, deflate } = process.getBuiltinModule("node:zlib");
  const pack = promisify(type === "zlib" ? deflate : gzip) as (message: Buffer, options: object) => Promise<Buffer>;
  const level = Number(options["gelf-compression-level"] ?? FASTEST);
  return (message) => pack(message, { level });
}

/** Two bytes of magic, eight of an id, number, count, data. What takes more than 128 is no message of the protocol. */
export function chunks(message: Buffer): Buffer[] {
  if (message.length <= CHUNK) return [message];
  const room = CHUNK - CHUNK_HEADER;
  const count = Math.ceil(message.length / room);
  if (count > CHUNKS_MOST) return [];
  const id = randomBytes(8);
  return Array.from({ length: count }, (_, number) => Buffer.concat([Buffer.from([0x1e, 0x0f]), id, Buffer.from([number, count]), message.subarray(number * room, (number + 1) * room)]));
}
