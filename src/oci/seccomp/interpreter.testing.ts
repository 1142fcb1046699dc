/** A classic BPF machine for seccomp filters: what the kernel would answer to one system call. */

export interface SyscallData {
  architecture: number;
  number: number;
  /** Six unsigned 64-bit values; absent ones are 0. */
  arguments?: readonly bigint[];
}

/** The filter's return value. Throws on anything that the kernel's verifier would refuse. */
export function runFilter(program: Uint8Array, { architecture, number, arguments: values = [] }: SyscallData): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number >>> 0, true);
  data.setUint32(4, architecture >>> 0, true);
  values.forEach((value, index) => data.setBigUint64(16 + 8 * index, value, true));
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let at = 0; at * 8 < program.byteLength; at++) {
    const code = view.getUint16(at * 8, true);
    const k = view.getUint32(at * 8 + 4, true);
    const jump = (taken: boolean): number => view.getUint8(at * 8 + (taken ? 2 : 3));
    switch (code) {
      case 0x20:
        accumulator = data.getUint32(k, true);
        break;
      case 0x54:
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        at += jump(accumulator === k);
        break;
      case 0x25:
        at += jump(accumulator > k);
        break;
      case 0x35:
        at += jump(accumulator >= k);
        break;
      case 0x45:
        at += jump((accumulator & k) !== 0);
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`instruction ${at}: unknown code 0x${code.toString(16)}`);
    }
  }
  throw new Error("the filter ended without a return");
}
