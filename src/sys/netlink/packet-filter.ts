/**
 * Filters of the kernel's messages in its own packet filter language, so that this process is not woken for what it does not want.
 * A datagram begins with struct nlmsghdr.
 */

export const [LOAD_WORD, LOAD_HALF, LOAD_BYTE, IF_EQUAL, IF_ANY, RETURN] = [0x20, 0x28, 0x30, 0x15, 0x45, 0x06];
const EVERYTHING = 0xffffffff;

/** Jumps skip so many. */
type Instruction = readonly [code: number, yes: number, no: number, constant: number];

export const TAKE: Instruction = [RETURN, 0, 0, EVERYTHING];
export const DROP: Instruction = [RETURN, 0, 0, 0];

export const packetFilter = (program: readonly Instruction[]): Buffer =>
  Buffer.concat(program.map(([code, yes, no, constant]) => {
    const instruction = Buffer.alloc(8);
    instruction.writeUInt16LE(code, 0);
    instruction.set([yes, no], 2);
    instruction.writeUInt32LE(constant, 4);
    return instruction;
  }));

/** Numbers are loaded as the network has them, and messages have them as the host has. */
export const swapped16 = (value: number): number => ((value & 0xff) << 8) | (value >> 8);
const swapped32 = (value: number): number => Buffer.from(Uint32Array.of(value).buffer).readUInt32BE(0);

const PORT_AT = 12;

/** Events that others caused than the socket with that port: of one transaction all are its sender's. */
export const notFrom = (port: number): Buffer => packetFilter([[LOAD_WORD, 0, 0, PORT_AT], [IF_EQUAL, 0, 1, swapped32(port)], DROP, TAKE]);
