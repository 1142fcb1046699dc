/** Tar archives of contexts: meta.json and tls/docker/NAME, small plain files. */
const BLOCK = 512;

export interface ArchiveFile {
  name: string;
  data: Buffer;
}

export function packTar(files: ArchiveFile[]): Buffer {
  const blocks = files.flatMap(({ name, data }) => [header(name, data.length), data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;
  block.write(name, 0, 100);
  block.write(octal(0o644, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(Math.trunc(Date.now() / 1000), 12), 136);
  block.write("        ", 148);
  block.write("0", 156);
  block.write("ustar\x0000", 257, "latin1");
  block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

const LIMIT = 10 << 20;

/** Plain files of an archive. Throws an Error when it is none or too large. */
export function unpackTar(archive: Buffer): ArchiveFile[] {
  if (archive.length > LIMIT) throw new Error("the context archive is too large");
  const files: ArchiveFile[] = [];
  for (let at = 0; at + BLOCK <= archive.length && archive[at] !== 0; ) {
    const text = (start: number, length: number): string => archive.toString("latin1", at + start, at + start + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(text(124, 12), 8);
    if (!(size >= 0) || at + BLOCK + size > archive.length) throw new Error("invalid context: archive is damaged");
    const type = text(156, 1);
    if (type === "0" || type === "") files.push({ name: text(0, 100), data: archive.subarray(at + BLOCK, at + BLOCK + size) });
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
