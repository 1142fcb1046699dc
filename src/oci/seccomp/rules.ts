/** `linux.seccomp` as a verdict for each system call number of one architecture. */
import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { OciSeccomp } from "../../lib/oci-spec.ts";
import type { SeccompArchitecture } from "./architectures.ts";

export type CompareOperator = "EQ" | "NE" | "LT" | "LE" | "GE" | "GT" | "MASKED_EQ";

export interface Condition {
  argument: number;
  operator: CompareOperator;
  value: bigint;
  /** Only with MASKED_EQ: (argument & mask) == value. */
  mask: bigint;
}

/** Tried in order; the first whose conditions all hold gives its action, else the filter's default does. */
export interface Rule {
  conditions: Condition[];
  /** The filter's 32-bit return value (seccomp(2)). */
  action: number;
}

export interface SyscallRules {
  byNumber: Map<number, Rule[]>;
  defaultAction: number;
  /** The largest number that the profile mentions; later calls of newer kernels get ENOSYS, so that programs fall back. */
  largest: number;
}

/** include/uapi/linux/seccomp.h */
export const seccompActions: Record<string, number> = {
  SCMP_ACT_KILL: 0x0000_0000,
  SCMP_ACT_KILL_THREAD: 0x0000_0000,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_NOTIFY: 0x7fc0_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
};

const EPERM = 1;
/** Numbers from here on are 32-bit ARM's own (__ARM_NR_BASE), far behind the others. */
export const armPrivate = 0x0f_0000;
const maximumErrno = 4095;

export function actionValue(action: string, errnoRet: number | undefined, where: string): number {
  const value = lookup(seccompActions, action);
  if (value === undefined) throw invalidParameter(`${where}: unknown action ${JSON.stringify(action)}`);
  if (action !== "SCMP_ACT_ERRNO" && action !== "SCMP_ACT_TRACE") {
    if (errnoRet !== undefined && errnoRet !== null) throw invalidParameter(`${where}: an errno is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not for ${action}`);
    return value;
  }
  const errno = errnoRet ?? EPERM;
  if (!Number.isInteger(errno) || errno < 0 || errno > maximumErrno) throw invalidParameter(`${where}: errno ${errno} is not from 0 to ${maximumErrno}`);
  return (value | errno) >>> 0;
}

const operators: Record<string, CompareOperator> = {
  SCMP_CMP_EQ: "EQ",
  SCMP_CMP_NE: "NE",
  SCMP_CMP_LT: "LT",
  SCMP_CMP_LE: "LE",
  SCMP_CMP_GE: "GE",
  SCMP_CMP_GT: "GT",
  SCMP_CMP_MASKED_EQ: "MASKED_EQ",
};

type OciSyscall = NonNullable<OciSeccomp["syscalls"]>[number];
type OciArgument = NonNullable<OciSyscall["args"]>[number];

interface Entry {
  name: string;
  rules: Rule[];
}

/** Names unknown on this architecture are left out: profiles list the calls of all architectures and of newer kernels. */
export function syscallRules(seccomp: OciSeccomp, architecture: SeccompArchitecture): SyscallRules {
  const defaultAction = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet, "linux.seccomp.defaultAction");
  const byNumber = new Map<number, Rule[]>();
  let largest = -1;
  for (const { name, rules } of (seccomp.syscalls ?? []).flatMap((syscall, index) => entriesOf(syscall, { where: `linux.seccomp.syscalls[${index}]`, defaultAction }))) {
    const number = lookup(architecture.syscalls, name);
    if (number !== undefined) {
      if (number < armPrivate) largest = Math.max(largest, number);
      for (const rule of rules) addRule(byNumber, number, rule);
    }
    addMultiplexed(byNumber, { name, rules }, architecture);
  }
  return { byNumber, defaultAction, largest };
}

/** An unconditional rule decides alone, whatever other rules the call has; of two, the first (libseccomp refuses the second). */
function addRule(byNumber: Map<number, Rule[]>, number: number, rule: Rule): void {
  const rules = byNumber.get(number) ?? [];
  if (rules.some(({ conditions }) => conditions.length === 0)) return;
  byNumber.set(number, rule.conditions.length === 0 ? [rule] : [...rules, rule]);
}

/** A rule without conditions for connect is one for socketcall(SYS_CONNECT) too. Conditions cannot be carried over: the
 *  call's own arguments are in memory there. */
function addMultiplexed(byNumber: Map<number, Rule[]>, { name, rules }: Entry, architecture: SeccompArchitecture): void {
  const { call, selector } = lookup(architecture.multiplexed, name) ?? {};
  const rule = rules.find(({ conditions }) => conditions.length === 0);
  if (call === undefined || selector === undefined || rule === undefined) return;
  addRule(byNumber, architecture.syscalls[call]!, { conditions: [{ argument: 0, operator: "EQ", value: BigInt(selector), mask: allBits }], action: rule.action });
}

/** A rule that repeats the default says nothing (runc skips it too). */
function entriesOf(syscall: OciSyscall, { where, defaultAction }: { where: string; defaultAction: number }): Entry[] {
  if (!Array.isArray(syscall.names) || syscall.names.length === 0) throw invalidParameter(`${where}.names is empty`);
  const action = actionValue(syscall.action, syscall.errnoRet, `${where}.action`);
  const conditions = (syscall.args ?? []).map((argument, index) => conditionOf(argument, `${where}.args[${index}]`));
  return syscall.names.map((name) => {
    if (syscall.action === "SCMP_ACT_NOTIFY" && name === "write") throw invalidParameter(`${where}: SCMP_ACT_NOTIFY cannot be used for write`);
    return { name, rules: action === defaultAction ? [] : rulesOf(conditions, action) };
  });
}

/** Conditions are joined by "and"; but two on the same argument were always tried one by one, as rules of their own (runc). */
function rulesOf(conditions: Condition[], action: number): Rule[] {
  const distinct = new Set(conditions.map(({ argument }) => argument)).size === conditions.length;
  return distinct ? [{ conditions, action }] : conditions.map((condition) => ({ conditions: [condition], action }));
}

const allBits = 0xffff_ffff_ffff_ffffn;

function conditionOf({ index, op, value, valueTwo }: OciArgument, where: string): Condition {
  const operator = lookup(operators, op);
  if (operator === undefined) throw invalidParameter(`${where}.op: unknown operator ${JSON.stringify(op)}`);
  if (!Number.isInteger(index) || index < 0 || index > 5) throw invalidParameter(`${where}.index ${index} is not from 0 to 5`);
  const first = unsigned(value, `${where}.value`);
  if (operator !== "MASKED_EQ") return { argument: index, operator, value: first, mask: allBits };
  return { argument: index, operator, value: unsigned(valueTwo ?? 0, `${where}.valueTwo`), mask: first };
}

/** 64 bits; JSON numbers above 2^53 come rounded unless the parser kept them as bigint. */
function unsigned(value: number | bigint, where: string): bigint {
  if (typeof value === "number" && !Number.isInteger(value)) throw invalidParameter(`${where} ${value} is not a whole number`);
  const big = BigInt(value ?? 0);
  if (big < 0n || big > allBits) throw invalidParameter(`${where} ${value} is not a number of 64 bits`);
  return big;
}
