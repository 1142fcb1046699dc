/** Headers of tar archives (POSIX ustar) that this engine writes: plain files and folders with short names. */

export interface TarEntry {
  /** At most 100 bytes; folders end with a slash. */
  name: string;
  /** In bytes; 0 for folders. */
  size: number;
  mode: number;
  /** Seconds since 1970. */
  mtime: number;
}

export function tarHeader({ name, size, mode, mtime }: TarEntry): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`name too long for a tar header: ${name}`);
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write(`${octal(mode, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100);
  if (size < 8 ** 11) block.write(`${octal(size, 11)}\0`, 124);
  else {
    /* Base-256, for files of 8 GiB and more. */
    block.writeUInt8(0x80, 124);
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  block.write(`${octal(mtime, 11)}\0        `, 136);
  block.write(name.endsWith("/") ? "5" : "0", 156);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, "0");

/** Zeros that fill the last block of a file. */
export const tarPadding = (size: number): Buffer => Buffer.alloc((512 - (size % 512)) % 512);

/** Two zero blocks. */
export const tarEnd = (): Buffer => Buffer.alloc(1024);
