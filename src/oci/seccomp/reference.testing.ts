/** Docker's default profile as it is published, and what it says about a call: the other side of comparisons. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Beside the checkout, where the reference material is kept; it is no part of the project. */
const reference = join(import.meta.dirname, "../../../../shared/reference/security/seccomp-default.json");

/** Why comparisons cannot be made here, or false. */
export const skip = existsSync(reference) ? false : `no ${reference} here`;

export const text = (): string => readFileSync(reference, "utf8");
export const referenceRules = (): ReferenceRule[] => (JSON.parse(text()) as { syscalls: ReferenceRule[] }).syscalls;

/** First arguments that the profile tells apart: socket families, personalities, clone flags. */
export const samples = [0, 1, 8, 17, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0xffff_ffff, 0x0200_0000, 0x1000_0000, 0x7e02_0000, 0x0001_0000];

export interface ReferenceRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; op: string }[];
  includes?: ReferenceFilter;
  excludes?: ReferenceFilter;
}
interface ReferenceFilter {
  caps?: string[];
  arches?: string[];
  minKernel?: string;
}

/** What the profile's text says about one call, read literally; kernel 6.18. */
export function expectedVerdict(rules: ReferenceRule[], name: string, { values, capabilities, docker }: { values: number[]; capabilities: readonly string[]; docker: string }): number {
  const applies = ({ includes = {}, excludes = {} }: ReferenceRule): boolean =>
    (!includes.arches || includes.arches.includes(docker)) &&
    (includes.caps ?? []).every((capability) => capabilities.includes(capability)) &&
    !excludes.arches?.includes(docker) &&
    !(excludes.caps ?? []).some((capability) => capabilities.includes(capability));
  const matches = ({ args = [] }: ReferenceRule): boolean =>
    args.every(({ index, value, op }) => {
      const actual = BigInt(values[index] ?? 0);
      if (op === "SCMP_CMP_LT") return actual < value;
      if (op === "SCMP_CMP_GT") return actual > value;
      if (op === "SCMP_CMP_EQ") return actual === BigInt(value);
      assert.equal(op, "SCMP_CMP_MASKED_EQ");
      return (actual & BigInt(value)) === 0n;
    });
  const rule = rules.find((candidate) => candidate.names.includes(name) && applies(candidate) && matches(candidate));
  if (rule === undefined) return 0x0005_0001;
  return rule.action === "SCMP_ACT_ALLOW" ? 0x7fff_0000 : 0x0005_0000 | rule.errnoRet!;
}
