/**
 * `linux.seccomp` as a BPF program. Shape:
 *
 *   load architecture; for each known one its section, anything else is killed
 *   section: load number; x32 numbers get ENOSYS; a binary search over the ranges of numbers with the same verdict;
 *            at a leaf a return, or comparisons of arguments and returns
 *
 * The kernel evaluates a filter once per number when it is loaded and caches what is always allowed, so the depth of the
 * search, not the order of calls, is what loading costs.
 */
import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { OciSeccomp } from "../../lib/oci-spec.ts";
import type { Architecture } from "../host.ts";
import type { ExecStep } from "../plan/types.ts";
import type { SeccompArchitecture } from "./architectures.ts";
import { architecturesOf } from "./architectures.ts";
import type { Instruction } from "./bpf.ts";
import { bpf, branch, dataOffset, encode, load, ret } from "./bpf.ts";
import { ruleInstructions } from "./comparisons.ts";
import type { Rule } from "./rules.ts";
import { syscallRules } from "./rules.ts";

type CompiledSeccomp = NonNullable<ExecStep["seccomp"]>;

const killThread = 0x0000_0000;
const errnoNotImplemented = 0x0005_0000 | 38;
/** __X32_SYSCALL_BIT: numbers of the x32 ABI, which shares x86_64's architecture value. -1 is what a tracer makes of a skipped call. */
const x32Bit = 0x4000_0000;
const skippedCall = 0xffff_ffff;
const x86_64Audit = 0xc000_003e;

/** include/uapi/linux/seccomp.h; TSYNC means nothing for a single-threaded process before its exec. */
export const filterFlags: Record<string, number> = { SECCOMP_FILTER_FLAG_TSYNC: 0, SECCOMP_FILTER_FLAG_LOG: 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32 };

/** By the section's identity first, which costs nothing, then by its text. */
const byIdentity = new WeakMap<OciSeccomp, CompiledSeccomp>();
const byText = new Map<string, CompiledSeccomp>();
const cachedProfiles = 64;

export function compileSeccomp(seccomp: OciSeccomp, host: Architecture): CompiledSeccomp {
  const cached = byIdentity.get(seccomp);
  if (cached !== undefined) return cached;
  const text = host + JSON.stringify(seccomp, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));
  const compiled = byText.get(text) ?? compileUncached(seccomp, host);
  byText.delete(text);
  byText.set(text, compiled);
  if (byText.size > cachedProfiles) byText.delete(byText.keys().next().value!);
  byIdentity.set(seccomp, compiled);
  return compiled;
}

function compileUncached(seccomp: OciSeccomp, host: Architecture): CompiledSeccomp {
  if (seccomp.defaultAction === "SCMP_ACT_NOTIFY") throw invalidParameter("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default");
  const notifies = checkNotify(seccomp);
  // Without a call that notifies, nobody listens.
  return { program: encode(filterProgram(seccomp, host)), flags: flagsOf(seccomp.flags, notifies), ...(notifies && { listenerPath: seccomp.listenerPath! }) };
}

/** True when some call notifies. `write` must not: the process that loads the filter tells with it where the listener is. */
function checkNotify({ syscalls = [], listenerPath, listenerMetadata }: OciSeccomp): boolean {
  const notifying = syscalls.findIndex(({ action }) => action === "SCMP_ACT_NOTIFY");
  const writing = syscalls.findIndex(({ action, names }) => action === "SCMP_ACT_NOTIFY" && names.includes("write"));
  if (writing !== -1) throw invalidParameter(`linux.seccomp.syscalls[${writing}]: SCMP_ACT_NOTIFY cannot be used for the write syscall`);
  if (notifying !== -1 && !listenerPath) throw invalidParameter(`linux.seccomp.syscalls[${notifying}]: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath`);
  if (listenerMetadata && !listenerPath) throw invalidParameter("linux.seccomp.listenerMetadata needs linux.seccomp.listenerPath");
  return notifying !== -1;
}

/** Without a list, speculation stays allowed, as runc has it: the mitigation costs every container speed and is prctl's to choose. */
function flagsOf(names: readonly string[] | undefined, notifies: boolean): number {
  if (names === undefined || names === null) return filterFlags["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]!;
  let flags = 0;
  for (const [index, name] of names.entries()) {
    const flag = lookup(filterFlags, name);
    if (flag === undefined) throw invalidParameter(`linux.seccomp.flags[${index}]: unknown flag ${JSON.stringify(name)}`);
    flags |= flag;
  }
  // The kernel refuses the one about the listener's answers without a listener.
  return notifies ? flags : flags & ~filterFlags["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]!;
}

export function filterProgram(seccomp: OciSeccomp, host: Architecture): Instruction[] {
  const architectures = architecturesOf(seccomp.architectures ?? [], host);
  const dispatch = architectures.reduceRight<Instruction[]>(
    (otherwise, architecture) => branch({ code: bpf.jumpEqual, k: architecture.audit }, section(seccomp, architecture), otherwise),
    [ret(killThread)],
  );
  return [load(dataOffset.architecture), ...dispatch];
}

function section(seccomp: OciSeccomp, architecture: SeccompArchitecture): Instruction[] {
  const body = search(rangesOf(seccomp, architecture));
  if (architecture.audit !== x86_64Audit) return [load(dataOffset.number), ...body];
  const x32 = branch({ code: bpf.jumpEqual, k: skippedCall }, [ret(syscallRules(seccomp, architecture).defaultAction)], [ret(errnoNotImplemented)]);
  return [load(dataOffset.number), ...branch({ code: bpf.jumpGreaterEqual, k: x32Bit }, x32, body)];
}

interface Range {
  first: number;
  code: Instruction[];
}

/** Consecutive ranges from 0 on, each to the next one's start. */
function rangesOf(seccomp: OciSeccomp, architecture: SeccompArchitecture): Range[] {
  const { byNumber, defaultAction, largest } = syscallRules(seccomp, architecture);
  const ranges: Range[] = [];
  const starts = new Set([0]);
  for (const number of byNumber.keys()) starts.add(number).add(number + 1);
  const unknownFrom = largest >= 0 && !isPermissive(seccomp.defaultAction) ? largest + 1 : Infinity;
  if (unknownFrom !== Infinity) starts.add(unknownFrom);
  for (const first of [...starts].toSorted((a, b) => a - b)) {
    const rules = byNumber.get(first);
    const code = rules ? leaf(rules, defaultAction, architecture) : [ret(first >= unknownFrom ? errnoNotImplemented : defaultAction)];
    if (ranges.length === 0 || !sameReturn(ranges.at(-1)!.code, code)) ranges.push({ first, code });
  }
  return ranges;
}

/** runc's rule: a default that lets calls through is left alone. */
const isPermissive = (action: string): boolean => action === "SCMP_ACT_ALLOW" || action === "SCMP_ACT_LOG" || action === "SCMP_ACT_TRACE";

const sameReturn = (a: Instruction[], b: Instruction[]): boolean => a.length === 1 && b.length === 1 && a[0]!.k === b[0]!.k;

function leaf(rules: Rule[], defaultAction: number, { narrow }: SeccompArchitecture): Instruction[] {
  return rules.reduceRight<Instruction[]>((otherwise, rule) => ruleInstructions(rule, otherwise, narrow), [ret(defaultAction)]);
}

function search(ranges: Range[]): Instruction[] {
  if (ranges.length === 1) return ranges[0]!.code;
  const middle = ranges.length >> 1;
  return branch({ code: bpf.jumpGreaterEqual, k: ranges[middle]!.first }, search(ranges.slice(middle)), search(ranges.slice(0, middle)));
}
