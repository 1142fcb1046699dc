/**
 * The kernel's device mapper by the ioctls of /dev/mapper/control (linux/dm-ioctl.h). Devices here have one target over their
 * whole length. The nodes are /dev/dm-MINOR, which the kernel makes itself.
 */
import { closeSync, constants, openSync } from "node:fs";
import { ioctl, ioctlSlowly } from "./ioctl.ts";

export const command = { version: 0, list: 2, create: 3, remove: 4, suspend: 6, status: 7, load: 9, tableStatus: 12, targets: 13, message: 14 } as const;
export type Command = (typeof command)[keyof typeof command];

export const dmFlag = { suspend: 1 << 1, table: 1 << 4, full: 1 << 8, noFlush: 1 << 11, deferredRemove: 1 << 17 } as const;

export interface Target {
  /** 512 bytes each. */
  sectors: number;
  type: string;
  parameters: string;
}

export interface Request {
  name?: string;
  flags?: number;
  target?: Target;
  message?: string;
}

export interface Reply {
  version: string;
  flags: number;
  openCount: number;
  targetCount: number;
  minor: number;
  /** "MAJOR:MINOR". */
  numbers: string;
  /** What follows the header. */
  data: Buffer;
}

/** struct dm_ioctl. */
const HEADER = 312;
const NAME = 48;
const NAME_MOST = 127;
const SPEC = 40;
const LEAST_SIZE = 4096;

const requestOf = (which: Command): number => (((3 << 30) | (HEADER << 16) | (0xfd << 8)) >>> 0) + which;

export function encode({ name = "", flags = 0, target, message }: Request, size: number = LEAST_SIZE): Buffer {
  if (Buffer.byteLength(name) > NAME_MOST) throw new Error(`the name of a device is too long: ${name}`);
  const body = target ? encodeTarget(target) : message === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.alloc(8), Buffer.from(`${message}\0`)]);
  const buffer = Buffer.alloc(Math.max(size, HEADER + body.length + 8));
  for (const [at, value] of [[0, 4], [12, buffer.length], [16, HEADER], [20, target ? 1 : 0], [28, flags]] as const) buffer.writeUInt32LE(value, at);
  buffer.write(name, NAME);
  body.copy(buffer, HEADER);
  return buffer;
}

function encodeTarget({ sectors, type, parameters }: Target): Buffer {
  const text = Buffer.from(`${parameters}\0`);
  const spec = Buffer.alloc(SPEC + Math.ceil(text.length / 8) * 8);
  spec.writeBigUInt64LE(BigInt(sectors), 8);
  spec.writeUInt32LE(spec.length, 20);
  spec.write(type, 24);
  text.copy(spec, SPEC);
  return spec;
}

export function decode(buffer: Buffer): Reply {
  const device = buffer.readUInt32LE(40);
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return {
    version: [0, 4, 8].map((at) => buffer.readUInt32LE(at)).join("."),
    openCount: buffer.readInt32LE(24),
    targetCount: buffer.readUInt32LE(20),
    flags: buffer.readUInt32LE(28),
    minor,
    numbers: `${(device >>> 8) & 0xfff}:${minor}`,
    data: buffer.subarray(buffer.readUInt32LE(16), buffer.readUInt32LE(12)),
  };
}

const textAt = (data: Buffer, at: number): string => data.toString("utf8", at, data.indexOf(0, at));

/** The first target of an answer to tableStatus; undefined of a device without a table. */
export function targetOf({ targetCount, data }: Reply): Target | undefined {
  return targetCount === 0 ? undefined : { sectors: Number(data.readBigUInt64LE(8)), type: textAt(data, 24), parameters: textAt(data, SPEC) };
}

/** The answer to `list`. */
export function namesOf({ data }: Reply): string[] {
  const names: string[] = [];
  if (data.length < 12 || data.readBigUInt64LE(0) === 0n) return names;
  for (let at = 0; ; ) {
    names.push(textAt(data, at + 12));
    const next = data.readUInt32LE(at + 8);
    if (next === 0) return names;
    at += next;
  }
}

/** The answer to `targets`: the kinds of target that the kernel has loaded. */
export function targetTypesOf({ data }: Reply): string[] {
  const types: string[] = [];
  for (let at = 0; at + 16 < data.length; ) {
    types.push(textAt(data, at + 16));
    const next = data.readUInt32LE(at);
    if (next === 0) break;
    at += next;
  }
  return types;
}

export class DeviceMapper {
  #control: number;

  /** Throws the errno where the kernel has no device mapper. */
  constructor() {
    this.#control = openSync("/dev/mapper/control", constants.O_RDWR);
  }

  /** Afterwards everything fails with EBADF. */
  close(): void {
    closeSync(this.#control);
    this.#control = -1;
  }

  /** Throws the errno. */
  callNow(which: Command, request: Request): Reply {
    for (let size = LEAST_SIZE; ; size *= 4) {
      const buffer = encode(request, size);
      ioctl(this.#control, requestOf(which), buffer);
      const reply = decode(buffer);
      if ((reply.flags & dmFlag.full) === 0) return reply;
    }
  }

  /** The same, for what may wait for a disk. */
  async call(which: Command, request: Request): Promise<Reply> {
    return decode(await ioctlSlowly(this.#control, requestOf(which), encode(request)));
  }

  /** Of the interface: "4.47.0". */
  get version(): string {
    return this.callNow(command.version, {}).version;
  }

  /** Every device's name. */
  names(): string[] {
    return namesOf(this.callNow(command.list, {}));
  }

  /** The state of a device; undefined when there is none of this name. */
  find(name: string): Reply | undefined {
    return absent(() => this.callNow(command.status, { name }));
  }

  /** `table`: what it was made with, instead of its state. Without waiting for a disk, so what is being written may be missing. */
  status(name: string, what?: "table"): Target | undefined {
    return absent(() => targetOf(this.callNow(command.tableStatus, { name, flags: dmFlag.noFlush | (what === "table" ? dmFlag.table : 0) })));
  }

  async message(name: string, message: string): Promise<void> {
    await this.call(command.message, { name, message });
  }

  /** A new device that works; nothing is left when it cannot be. */
  async make(name: string, target: Target): Promise<number> {
    const { minor } = await this.call(command.create, { name });
    try {
      await this.call(command.load, { name, target });
      await this.call(command.suspend, { name });
    } catch (error) {
      await this.call(command.remove, { name });
      throw error;
    }
    return minor;
  }

  /** The same at once. */
  makeNow(name: string, target: Target): number {
    const { minor } = this.callNow(command.create, { name });
    try {
      this.callNow(command.load, { name, target });
      this.callNow(command.suspend, { name });
    } catch (error) {
      this.callNow(command.remove, { name });
      throw error;
    }
    return minor;
  }

  /** Lets a device that exists have another table. */
  async reload(name: string, target: Target): Promise<void> {
    await this.call(command.load, { name, target });
    await this.call(command.suspend, { name, flags: dmFlag.suspend });
    await this.call(command.suspend, { name });
  }

  /** `deferred`: when nobody has it open any more. False when there is none; throws EBUSY while it is in use. */
  async remove(name: string, { deferred }: { deferred: boolean }): Promise<boolean> {
    try {
      await this.call(command.remove, { name, flags: deferred ? dmFlag.deferredRemove : 0 });
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }
}

const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENXIO";

function absent<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
