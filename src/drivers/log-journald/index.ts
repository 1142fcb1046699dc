/** Docker's log driver "journald": the journal's native protocol, with its fields; what is too large for a datagram goes as a sealed file. */
import { randomBytes } from "node:crypto";
import { closeSync, existsSync } from "node:fs";
import { renamed, type LogDriver, type LogRecord } from "../../core/log-driver.ts";
import { DatagramClient } from "../../sys/datagram-client.ts";
import { sealedMemory } from "../../sys/seqpacket.ts";

const SOCKET = "/run/systemd/journal/socket";
const ERROR = "3";
const INFO = "6";

export function createJournaldDriver(socketPath = SOCKET): LogDriver {
  return {
    id: "journald",
    open(origin, _options) {
      const client = new DatagramClient({ path: socketPath });
      const epoch = randomBytes(32).toString("hex");
      const known = fields({
        CONTAINER_ID: origin.id.slice(0, 12),
        CONTAINER_ID_FULL: origin.id,
        CONTAINER_NAME: origin.name,
        CONTAINER_TAG: origin.tag,
        IMAGE_NAME: origin.imageName,
        SYSLOG_IDENTIFIER: origin.tag,
        CONTAINER_LOG_EPOCH: epoch,
        ...renamed(origin.attributes, fieldName),
      });
      let ordinal = 0;
      return {
        async verify() {
          if (!existsSync(socketPath)) throw new Error("journald is not enabled on this host");
        },
        async send(records) {
          for (const record of records) {
            const entry = Buffer.concat([known, fields({ ...ofRecord(record), CONTAINER_LOG_ORDINAL: String(++ordinal) })]);
            if (!(await client.sendWith(entry))) await sendAsFile(client, entry);
          }
          return undefined;
        },
        close: () => client.close(),
        abort: () => void client.close(),
      };
    },
  };
}

export const journaldDriver: LogDriver = createJournaldDriver();

function ofRecord({ text, stderr, time, part }: LogRecord): Record<string, string> {
  const parts = part && { CONTAINER_PARTIAL_ID: part.id, CONTAINER_PARTIAL_ORDINAL: String(part.ordinal), CONTAINER_PARTIAL_LAST: String(part.last), ...(!part.last && { CONTAINER_PARTIAL_MESSAGE: "true" }) };
  return { PRIORITY: stderr ? ERROR : INFO, MESSAGE: text, SYSLOG_TIMESTAMP: time, ...parts };
}

/** NAME=value lines; a value of several lines has its length before it. */
function fields(values: Record<string, string>): Buffer {
  return Buffer.concat(Object.entries(values).map(([name, value]) => field(name, value)));
}

function field(name: string, value: string): Buffer {
  if (!value.includes("\n")) return Buffer.from(`${name}=${value}\n`);
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from("\n")]);
}

/** Capitals, digits and underscores, none of these first. */
export const fieldName = (key: string): string => key.replaceAll(/[^A-Za-z0-9]/gu, "_").toUpperCase().replace(/^_+/, "");

async function sendAsFile(client: DatagramClient, entry: Buffer): Promise<void> {
  const file = sealedMemory("journal-entry", entry);
  try {
    await client.sendWith(Buffer.alloc(0), file);
  } finally {
    closeSync(file);
  }
}
