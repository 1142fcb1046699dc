/**
 * Device rules as an eBPF program for BPF_CGROUP_DEVICE (cgroup v2). The program walks the rules from the last to the first
 * and keeps the kinds of access that no rule has decided yet: a denied one ends it with 0, none left ends it with 1.
 *
 *   r1  struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }   access_type: (access << 16) | type
 *   r2  device type   r3  undecided access   r4  major   r5  minor
 */
import type { DeviceRule } from "./device-rules.ts";

/** include/uapi/linux/bpf.h; comparisons and arithmetic of 32 bits. */
const opcode = { loadWord: 0x61, andImm: 0x54, shiftRight: 0x74, movReg: 0xbc, movImm: 0xb7, jump: 0x05, jumpNotEqual: 0x56, jumpSet: 0x46, exit: 0x95 };
const deviceType = { b: 1, c: 2 };
const accessBit = { m: 1, r: 2, w: 4 };

interface Instruction {
  code: number;
  dst?: number;
  src?: number;
  offset?: number;
  immediate?: number;
}

export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const program: Instruction[] = [
    { code: opcode.loadWord, dst: 2, src: 1, offset: 0 },
    { code: opcode.movReg, dst: 3, src: 2 },
    { code: opcode.andImm, dst: 2, immediate: 0xffff },
    { code: opcode.shiftRight, dst: 3, immediate: 16 },
    { code: opcode.loadWord, dst: 4, src: 1, offset: 4 },
    { code: opcode.loadWord, dst: 5, src: 1, offset: 8 },
  ];
  for (const rule of rules.toReversed()) program.push(...ruleBlock(rule));
  program.push(...verdict(0));
  return encode(program);
}

const verdict = (value: 0 | 1): Instruction[] => [{ code: opcode.movImm, dst: 0, immediate: value }, { code: opcode.exit }];

function ruleBlock(rule: DeviceRule): Instruction[] {
  const bits = [...rule.access].reduce((sum, letter) => sum | accessBit[letter as "r" | "w" | "m"], 0);
  const body: Instruction[] = rule.allow
    ? [{ code: opcode.andImm, dst: 3, immediate: ~bits & 7 }, { code: opcode.jumpNotEqual, dst: 3, offset: 2, immediate: 0 }, ...verdict(1)]
    : [{ code: opcode.jumpSet, dst: 3, offset: 1, immediate: bits }, { code: opcode.jump, offset: 2 }, ...verdict(0)];
  const tests: [register: number, value: number][] = [];
  if (rule.type !== "a") tests.push([2, deviceType[rule.type]]);
  if (rule.major !== -1) tests.push([4, rule.major]);
  if (rule.minor !== -1) tests.push([5, rule.minor]);
  const jumps = tests.map(([dst, immediate], index) => ({ code: opcode.jumpNotEqual, dst, immediate, offset: body.length + tests.length - index - 1 }));
  return [...jumps, ...body];
}

function encode(program: Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(({ code, dst = 0, src = 0, offset = 0, immediate = 0 }, index) => {
    view.setUint8(index * 8, code);
    view.setUint8(index * 8 + 1, dst | (src << 4));
    view.setInt16(index * 8 + 2, offset, true);
    view.setInt32(index * 8 + 4, immediate | 0, true);
  });
  return bytes;
}
