/** Comparisons of system call arguments: 64 bits with BPF's 32-bit words, high word first. */
import type { Instruction } from "./bpf.ts";
import { bpf, dataOffset, load, ret } from "./bpf.ts";
import type { Condition, Rule } from "./rules.ts";

/** The rule's action if all its conditions hold, else `otherwise`, which ends with a return and may be long. */
export function ruleInstructions(rule: Rule, otherwise: Instruction[], narrow: boolean): Instruction[] {
  if (rule.conditions.length === 0) return [ret(rule.action)];
  const tests = rule.conditions.flatMap((condition) => conditionTests(condition, narrow));
  return [...resolve([...tests, { instruction: ret(rule.action) }]), ...otherwise];
}

/** Where a conditional jump goes: on, to the next condition, or to `otherwise`. */
type Goal = "on" | "holds" | "fails";

interface Labelled {
  instruction: Instruction;
  yes?: Goal;
  no?: Goal;
  /** The last instruction of a condition. */
  end?: boolean;
}

function conditionTests({ argument, operator, value, mask }: Condition, narrow: boolean): Labelled[] {
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n);
  const lowWord = { instruction: load(dataOffset.argumentLow(argument)) };
  const highWord = { instruction: load(dataOffset.argumentHigh(argument)) };
  const test = (code: number, k: number, yes: Goal, no: Goal): Labelled => ({ instruction: { code, k }, yes, no });
  const last = (code: number, k: number, yes: Goal, no: Goal): Labelled => ({ ...test(code, k, yes, no), end: true });
  if (operator === "MASKED_EQ") {
    const lowPart = [lowWord, { instruction: { code: bpf.and, k: Number(mask & 0xffff_ffffn) } }, last(bpf.jumpEqual, low, "holds", "fails")];
    if (narrow) return lowPart;
    return [highWord, { instruction: { code: bpf.and, k: Number(mask >> 32n) } }, test(bpf.jumpEqual, high, "on", "fails"), ...lowPart];
  }
  const equalHigh = (greater: Goal, less: Goal): Labelled[] => (narrow ? [] : [highWord, test(bpf.jumpGreater, high, greater, "on"), test(bpf.jumpEqual, high, "on", less)]);
  switch (operator) {
    case "EQ":
      return [...(narrow ? [] : [highWord, test(bpf.jumpEqual, high, "on", "fails")]), lowWord, last(bpf.jumpEqual, low, "holds", "fails")];
    case "NE":
      return [...(narrow ? [] : [highWord, test(bpf.jumpEqual, high, "on", "holds")]), lowWord, last(bpf.jumpEqual, low, "fails", "holds")];
    case "GT":
      return [...equalHigh("holds", "fails"), lowWord, last(bpf.jumpGreater, low, "holds", "fails")];
    case "GE":
      return [...equalHigh("holds", "fails"), lowWord, last(bpf.jumpGreaterEqual, low, "holds", "fails")];
    case "LT":
      return [...equalHigh("fails", "holds"), lowWord, last(bpf.jumpGreaterEqual, low, "fails", "holds")];
    case "LE":
      return [...equalHigh("fails", "holds"), lowWord, last(bpf.jumpGreater, low, "fails", "holds")];
  }
}

/** Labels as offsets: "holds" is behind the condition's last instruction, "fails" behind the whole rule. */
function resolve(program: Labelled[]): Instruction[] {
  return program.map(({ instruction, yes, no }, index) => {
    if (yes === undefined || no === undefined) return instruction;
    const conditionEnd = program.findIndex(({ end }, position) => position >= index && end === true);
    const offsets: Record<Goal, number> = { on: 0, holds: conditionEnd - index, fails: program.length - 1 - index };
    return { ...instruction, jt: offsets[yes], jf: offsets[no] };
  });
}
