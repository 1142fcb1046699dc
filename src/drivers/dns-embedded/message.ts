/**
 * DNS messages: what is read of a question, and answers to it. Packets are decoded by dns-packet; an answer repeats the
 * question's bytes as they came, so that whatever a name contains goes back as it was asked.
 */
import packet from "dns-packet";
import { ipToBytes, parseIp } from "../../lib/ip.ts";

/** Of the library, though its types do not tell. */
const { name: names } = packet as unknown as { name: { decode: { (raw: Uint8Array, offset: number): string; bytes: number }; encode(name: string): Buffer } };

export const TYPE = { A: 1, PTR: 12, MX: 15, AAAA: 28, OPT: 41, SRV: 33 } as const;
export const RCODE = { success: 0, formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4, refused: 5 } as const;
const CLASS_IN = 1;
const HEADER_BYTES = 12;
/** Questions are small; a large message could have names whose compression takes long to follow. */
export const MAX_QUERY_BYTES = 1280;
const MIN_UDP_BYTES = 512;
/** What an answer of ours takes at most; larger ones would be cut into fragments. */
const MAX_UDP_BYTES = 4096;
const MAX_LABEL = 63;
const MAX_NAME = 253;
/** The question's name, at its place behind the header. */
const NAME_POINTER = Buffer.of(0xc0, HEADER_BYTES);

const FLAG = { response: 0x8000, truncated: 0x0200, recursionDesired: 0x0100, recursionAvailable: 0x0080, checkingDisabled: 0x0010 } as const;

export interface Query {
  raw: Buffer;
  /** Without the final dot; "" is the root. */
  name: string;
  type: number;
  internet: boolean;
  /** Where the question ends in `raw`. */
  end: number;
  /** Bytes that the client takes in a datagram. */
  udpBytes: number;
  edns: boolean;
}

export interface ResourceRecord {
  type: number;
  ttl: number;
  data: Uint8Array;
}

/** A query, an answer that refuses it, or undefined for what deserves none: fragments, and answers (two servers would never stop). */
export function readQuery(raw: Buffer): Query | { refusal: Buffer } | undefined {
  if (raw.length < HEADER_BYTES || raw.readUInt16BE(2) & FLAG.response) return undefined;
  const opcode = (raw.readUInt16BE(2) >> 11) & 15;
  if (opcode !== 0) return { refusal: refuse(raw, RCODE.notImplemented) };
  if (raw.readUInt16BE(4) !== 1 || raw.length > MAX_QUERY_BYTES) return { refusal: refuse(raw, RCODE.formatError) };
  try {
    return decodeQuery(raw);
  } catch {
    return { refusal: refuse(raw, RCODE.formatError) };
  }
}

function decodeQuery(raw: Buffer): Query {
  const name = names.decode(raw, HEADER_BYTES);
  const end = HEADER_BYTES + names.decode.bytes + 4;
  if (end > raw.length) throw new RangeError("the question is cut off");
  const query: Query = { raw, name: name === "." ? "" : name, type: raw.readUInt16BE(end - 4), internet: raw.readUInt16BE(end - 2) === CLASS_IN, end, udpBytes: MIN_UDP_BYTES, edns: false };
  if (raw.readUInt16BE(6) === 0 && raw.readUInt16BE(8) === 0 && raw.readUInt16BE(10) === 0) return query;
  for (const record of packet.decode(raw).additionals ?? []) {
    if (record.type !== "OPT") continue;
    query.edns = true;
    query.udpBytes = Math.min(Math.max(record.udpPayloadSize, MIN_UDP_BYTES), MAX_UDP_BYTES);
  }
  return query;
}

/** The header alone, for what could not be read. */
function refuse(raw: Buffer, rcode: number): Buffer {
  const answer = Buffer.alloc(HEADER_BYTES);
  raw.copy(answer, 0, 0, 2);
  answer.writeUInt16BE(FLAG.response | (raw.readUInt16BE(2) & 0x7900) | rcode, 2);
  return answer;
}

/** Cut, and marked so, where it exceeds `maxBytes`. */
export function answerTo(query: Query, rcode: number, records: readonly ResourceRecord[], maxBytes: number): Buffer {
  const option = query.edns ? OPTION : EMPTY;
  const parts: Uint8Array[] = [query.raw.subarray(0, HEADER_BYTES), query.raw.subarray(HEADER_BYTES, query.end)];
  let size = query.end + option.length;
  let count = 0;
  for (const record of records) {
    const bytes = encodeRecord(record);
    if (size + bytes.length > maxBytes) break;
    parts.push(bytes);
    size += bytes.length;
    count++;
  }
  const answer = Buffer.concat([...parts, option]);
  const asked = query.raw.readUInt16BE(2) & (FLAG.recursionDesired | FLAG.checkingDisabled);
  answer.writeUInt16BE(FLAG.response | FLAG.recursionAvailable | asked | (count < records.length ? FLAG.truncated : 0) | rcode, 2);
  answer.writeUInt16BE(1, 4);
  answer.writeUInt16BE(count, 6);
  answer.writeUInt16BE(0, 8);
  answer.writeUInt16BE(option.length > 0 ? 1 : 0, 10);
  return answer;
}

const EMPTY = Buffer.alloc(0);
/** The root's name, type OPT, our datagrams' size, no flags, no options. */
const OPTION = Buffer.of(0, 0, TYPE.OPT, MAX_UDP_BYTES >> 8, MAX_UDP_BYTES & 255, 0, 0, 0, 0, 0, 0);

function encodeRecord({ type, ttl, data }: ResourceRecord): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(CLASS_IN, 2);
  head.writeUInt32BE(ttl, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([NAME_POINTER, head, data]);
}

/** undefined: what a container is called need not be a name that DNS can carry. */
export function encodeName(name: string): Buffer | undefined {
  const labels = name.split(".");
  if (Buffer.byteLength(name) > MAX_NAME || labels.some((label) => label === "" || Buffer.byteLength(label) > MAX_LABEL)) return undefined;
  return names.encode(name);
}

/** The addresses that a server's message gives the name, itself or by the names that it stands for. None where it cannot be read. */
export function addressesIn(answer: Buffer, name: string): ResourceRecord[] {
  const names = new Set([name.toLowerCase()]);
  const found: ResourceRecord[] = [];
  try {
    for (const record of packet.decode(answer).answers ?? []) {
      if (!("name" in record) || !names.has(record.name.toLowerCase())) continue;
      if (record.type === "CNAME") names.add(record.data.toLowerCase());
      const address = record.type === "A" || record.type === "AAAA" ? parseIp(record.data) : undefined;
      if (address && "ttl" in record) found.push({ type: record.type === "A" ? TYPE.A : TYPE.AAAA, ttl: record.ttl ?? 0, data: ipToBytes(address) });
    }
  } catch {
    return [];
  }
  return found;
}

/** Whether a server's message answers the query: the question is the same, but for the case of letters. */
export function answersQuery(answer: Buffer, query: Query): boolean {
  if (answer.length < HEADER_BYTES || !(answer.readUInt16BE(2) & FLAG.response)) return false;
  // Servers that could not read a question need not repeat it.
  if (answer.readUInt16BE(4) === 0) return rcodeOf(answer) !== RCODE.success;
  return lower(answer.subarray(HEADER_BYTES, query.end)) === lower(query.raw.subarray(HEADER_BYTES, query.end));
}

const lower = (bytes: Buffer): string => bytes.toString("latin1").toLowerCase();

export const rcodeOf = (message: Buffer): number => message.readUInt16BE(2) & 15;
