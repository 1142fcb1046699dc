/** Classic BPF as seccomp uses it: struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }, and jumps by label. */

/** include/uapi/linux/bpf_common.h */
export const bpf = { loadWord: 0x20, jump: 0x05, jumpEqual: 0x15, jumpGreater: 0x25, jumpGreaterEqual: 0x35, jumpSet: 0x45, and: 0x54, ret: 0x06 } as const;

/** struct seccomp_data */
export const dataOffset = { number: 0, architecture: 4, argumentLow: (index: number): number => 16 + 8 * index, argumentHigh: (index: number): number => 20 + 8 * index };

export interface Instruction {
  code: number;
  k: number;
  jt?: number;
  jf?: number;
}

export const load = (offset: number): Instruction => ({ code: bpf.loadWord, k: offset });
export const ret = (value: number): Instruction => ({ code: bpf.ret, k: value });

/** `test` ? yes : no, each a list that ends with a return. Conditional jumps reach 255 instructions, longer ones need a plain jump. */
export function branch(test: { code: number; k: number }, yes: Instruction[], no: Instruction[]): Instruction[] {
  if (yes.length <= 255) return [{ ...test, jt: 0, jf: yes.length }, ...yes, ...no];
  if (no.length <= 255) return [{ ...test, jt: no.length, jf: 0 }, ...no, ...yes];
  return [{ ...test, jt: 1, jf: 0 }, { code: bpf.jump, k: yes.length }, ...yes, ...no];
}

/** BPF_MAXINSNS */
const maximumInstructions = 4096;

export function encode(program: Instruction[]): Uint8Array {
  if (program.length > maximumInstructions) throw new RangeError(`the filter has ${program.length} instructions, the kernel takes ${maximumInstructions}`);
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(({ code, k, jt = 0, jf = 0 }, index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k >>> 0, true);
  });
  return bytes;
}
