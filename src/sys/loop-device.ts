/** Loop devices: files as block devices (linux/loop.h). */
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename } from "node:path";
import { ioctl } from "./ioctl.ts";

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const BLKGETSIZE64 = 0x80081272;
const AUTOCLEAR = 4;
/** struct loop_config: fd, block size, struct loop_info64 with its flags and the file's name. */
const CONFIG_SIZE = 304;
const FLAGS_AT = 8 + 52;
const NAME_AT = 8 + 56;
const NAME_MOST = 63;

export interface LoopDevice extends Disposable {
  path: string;
}

/** The device stays until it is disposed and nobody else has it open. Throws the errno. */
export function attachLoop(file: string): LoopDevice {
  using stack = new DisposableStack();
  const open = (path: string, flags: number): number => {
    const fd = openSync(path, flags);
    stack.defer(() => closeSync(fd));
    return fd;
  };
  const config = Buffer.alloc(CONFIG_SIZE);
  config.writeUInt32LE(open(file, constants.O_RDWR), 0);
  config.writeUInt32LE(AUTOCLEAR, FLAGS_AT);
  config.write(file.slice(-NAME_MOST), NAME_AT);
  const control = open("/dev/loop-control", constants.O_RDWR);
  for (;;) {
    const path = `/dev/loop${ioctl(control, LOOP_CTL_GET_FREE, Buffer.alloc(8))}`;
    const device = openSync(path, constants.O_RDWR);
    try {
      ioctl(device, LOOP_CONFIGURE, config);
      return { path, [Symbol.dispose]: () => closeSync(device) };
    } catch (error) {
      closeSync(device);
      // Somebody else was faster.
      if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    }
  }
}

/** The file of a loop device, "MAJOR:MINOR"; undefined of another device. */
export function fileOfLoop(numbers: string): string | undefined {
  try {
    return readFileSync(`/sys/dev/block/${numbers}/loop/backing_file`, "utf8").trimEnd();
  } catch {
    return undefined;
  }
}

/** In bytes. Throws for what is no block device. */
export function sizeOfDevice(path: string): number {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    if (!fstatSync(fd).isBlockDevice()) throw new Error(`${path} is not a block device`);
    const size = Buffer.alloc(8);
    ioctl(fd, BLKGETSIZE64, size);
    return Number(size.readBigUInt64LE());
  } finally {
    closeSync(fd);
  }
}

/** "MAJOR:MINOR" of what st_dev and st_rdev hold. */
export function deviceNumbers(device: number): string {
  const big = BigInt(device);
  return `${Number(((big >> 8n) & 0xfffn) | ((big >> 32n) & 0xfffff000n))}:${Number((big & 0xffn) | ((big >> 12n) & 0xffffff00n))}`;
}

/** Of a block device's node. */
export const numbersOf = (path: string): string => deviceNumbers(statSync(path).rdev);

/** The node of a block device, "MAJOR:MINOR". */
export const nodeOfDevice = (numbers: string): string => `/dev/${basename(readlinkSync(`/sys/dev/block/${numbers}`))}`;
