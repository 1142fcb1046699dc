/** Tar archives for tests, down to malformed ones. */

export interface RawEntry {
  name: string | Buffer;
  /** '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' folder, '6' fifo, or any other flag. */
  type?: string;
  data?: string | Buffer;
  link?: string | Buffer;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  /** Instead of the data's own. */
  size?: number;
  /** PAX records that precede it. */
  pax?: Record<string, string | Buffer>;
  /** Bytes put over the header before its checksum. */
  patch?: [offset: number, bytes: string | Buffer][];
  /** Instead of the right one. */
  checksum?: number;
}

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;

export function header(entry: RawEntry, size: number): Buffer {
  const block = Buffer.alloc(512);
  Buffer.from(entry.name).copy(block, 0, 0, 100);
  block.write(octal(entry.mode ?? 0o644, 7) + octal(entry.uid ?? 0, 7) + octal(entry.gid ?? 0, 7), 100);
  block.write(octal(entry.size ?? size, 11) + octal(entry.mtime ?? 0, 11), 124);
  block.write(entry.type ?? "0", 156, "latin1");
  Buffer.from(entry.link ?? "").copy(block, 157, 0, 100);
  block.write("ustar\x0000", 257);
  block.write(octal(entry.major ?? 0, 7) + octal(entry.minor ?? 0, 7), 329);
  for (const [offset, bytes] of entry.patch ?? []) Buffer.from(bytes as string).copy(block, offset);
  block.write("        ", 148);
  const sum = entry.checksum ?? block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

export const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

export function entryBytes(entry: RawEntry): Buffer {
  const data = Buffer.from((entry.data ?? "") as string);
  const parts: Buffer[] = [];
  if (entry.pax) {
    const records = Buffer.concat(Object.entries(entry.pax).map(([key, value]) => paxRecord(key, value)));
    parts.push(header({ name: "pax", type: "x" }, records.length), padded(records));
  }
  parts.push(header(entry, data.length), padded(data));
  return Buffer.concat(parts);
}

/** A whole archive with its end. */
export const tarOf = (...entries: RawEntry[]): Buffer => Buffer.concat([...entries.map(entryBytes), Buffer.alloc(1024)]);
