import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../lib/fast-check.testing.ts";
import type { OciSeccomp } from "../../lib/oci-spec.ts";
import { compileSeccomp } from "./compile.ts";
import { runFilter } from "./interpreter.testing.ts";
import { aarch64, arm, i386, x86_64 } from "./syscall-numbers.ts";

const ALLOW = 0x7fff_0000;
const ERRNO = (errno: number): number => 0x0005_0000 | errno;
const KILL = 0;
const audit = { x86_64: 0xc000_003e, i386: 0x4000_0003, aarch64: 0xc000_00b7, arm: 0x4000_0028 };
const both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

const allowing = (syscalls: NonNullable<OciSeccomp["syscalls"]>, rest: Partial<OciSeccomp> = {}): OciSeccomp => ({ defaultAction: "SCMP_ACT_ERRNO", architectures: both, syscalls, ...rest });
const verdict = (seccomp: OciSeccomp, architecture: keyof typeof audit, number: number, args: bigint[] = []): number =>
  runFilter(compileSeccomp(seccomp, architecture === "x86_64" || architecture === "i386" ? "x86_64" : "aarch64").program, { architecture: audit[architecture], number, arguments: args });

test("an allow-list allows its calls by each architecture's numbers, and nothing else", () => {
  const seccomp = allowing([{ names: ["read", "openat2"], action: "SCMP_ACT_ALLOW" }]);
  assert.equal(verdict(seccomp, "x86_64", x86_64["read"]!), ALLOW);
  assert.equal(verdict(seccomp, "i386", i386["read"]!), ALLOW);
  assert.equal(verdict(seccomp, "x86_64", i386["read"]!), ERRNO(1));
  assert.equal(verdict(seccomp, "x86_64", x86_64["write"]!), ERRNO(1));
});

test("calls newer than everything that the profile names answer ENOSYS", () => {
  const seccomp = allowing([{ names: ["openat2"], action: "SCMP_ACT_ALLOW" }]);
  assert.equal(verdict(seccomp, "x86_64", x86_64["openat2"]! + 1), ERRNO(38));
  assert.equal(verdict(seccomp, "x86_64", x86_64["openat2"]! - 1), ERRNO(1));
  assert.equal(verdict({ ...seccomp, defaultAction: "SCMP_ACT_ALLOW" }, "x86_64", 5000), ALLOW);
});

test("x32 numbers answer ENOSYS even where the default allows, a skipped call (-1) gets the default", () => {
  const seccomp = allowing([{ names: ["read"], action: "SCMP_ACT_ERRNO" }], { defaultAction: "SCMP_ACT_ALLOW" });
  assert.equal(verdict(seccomp, "x86_64", 0x4000_0000), ERRNO(38));
  assert.equal(verdict(seccomp, "x86_64", 0x4000_0000 + 512), ERRNO(38));
  assert.equal(verdict(seccomp, "x86_64", -1), ALLOW);
});

test("an architecture that the profile does not list is killed; the native one is always there", () => {
  const seccomp: OciSeccomp = { defaultAction: "SCMP_ACT_ALLOW" };
  assert.equal(verdict(seccomp, "x86_64", 0), ALLOW);
  assert.equal(verdict(seccomp, "i386", 0), KILL);
  assert.equal(verdict(seccomp, "arm", 0), KILL);
});

test("32-bit ARM's own calls lie behind the gap of unknown numbers", () => {
  const seccomp: OciSeccomp = { defaultAction: "SCMP_ACT_ERRNO", architectures: ["SCMP_ARCH_ARM"], syscalls: [{ names: ["cacheflush", "read", "openat2"], action: "SCMP_ACT_ALLOW" }] };
  assert.equal(verdict(seccomp, "arm", arm["cacheflush"]!), ALLOW);
  assert.equal(verdict(seccomp, "arm", arm["cacheflush"]! - 1), ERRNO(38));
  assert.equal(verdict(seccomp, "arm", 2000), ERRNO(38));
  assert.equal(verdict(seccomp, "aarch64", aarch64["read"]!), ALLOW);
});

test("actions carry their errno, and unknown ones are refused by name", () => {
  const withAction = (action: string, errnoRet?: number): number => verdict(allowing([{ names: ["read"], action, ...(errnoRet !== undefined && { errnoRet }) }], { defaultAction: "SCMP_ACT_ALLOW" }), "x86_64", 0);
  assert.equal(withAction("SCMP_ACT_ERRNO", 38), ERRNO(38));
  assert.equal(withAction("SCMP_ACT_TRACE", 7), 0x7ff0_0007);
  assert.equal(withAction("SCMP_ACT_KILL_PROCESS"), 0x8000_0000);
  assert.equal(withAction("SCMP_ACT_TRAP"), 0x0003_0000);
  assert.equal(withAction("SCMP_ACT_LOG"), 0x7ffc_0000);
  assert.throws(() => withAction("SCMP_ACT_MAYBE"), /linux\.seccomp\.syscalls\[0\]\.action: unknown action "SCMP_ACT_MAYBE"/);
  assert.throws(() => withAction("constructor"), /unknown action "constructor"/);
  assert.throws(() => withAction("SCMP_ACT_ERRNO", 5000), /errno 5000/);
  assert.throws(() => withAction("SCMP_ACT_NOTIFY"), /SCMP_ACT_NOTIFY needs linux\.seccomp\.listenerPath/);
  assert.throws(() => compileSeccomp(allowing([{ names: ["write"], action: "SCMP_ACT_NOTIFY" }], { listenerPath: "/l" }), "x86_64"), /SCMP_ACT_NOTIFY cannot be used for the write syscall/);
  const notifying = compileSeccomp(allowing([{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }], { listenerPath: "/l", flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }), "x86_64");
  assert.deepEqual([notifying.listenerPath, notifying.flags], ["/l", 32]);
  const silent = compileSeccomp(allowing([], { listenerPath: "/l", flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }), "x86_64");
  assert.deepEqual([silent.listenerPath, silent.flags], [undefined, 0]);
});

test("unknown operators, argument indexes, architectures and flags are refused by name", () => {
  const args = (index: number, op: string): OciSeccomp => allowing([{ names: ["read"], action: "SCMP_ACT_ALLOW", args: [{ index, op, value: 0 }] }]);
  assert.throws(() => compileSeccomp(args(0, "SCMP_CMP_XX"), "x86_64"), /syscalls\[0\]\.args\[0\]\.op/);
  assert.throws(() => compileSeccomp(args(6, "SCMP_CMP_EQ"), "x86_64"), /args\[0\]\.index 6/);
  assert.throws(() => compileSeccomp(allowing([], { architectures: ["SCMP_ARCH_Z80"] }), "x86_64"), /architectures\[0\]/);
  assert.throws(() => compileSeccomp(allowing([], { flags: ["SECCOMP_FILTER_FLAG_NEW"] }), "x86_64"), /flags\[0\]/);
});

test("flags: none listed allows speculation, listed ones are the kernel's", () => {
  assert.equal(compileSeccomp(allowing([]), "x86_64").flags, 4);
  assert.equal(compileSeccomp(allowing([], { flags: [] }), "x86_64").flags, 0);
  assert.equal(compileSeccomp(allowing([], { flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"] }), "x86_64").flags, 2);
});

test("a rule for a socket call is one for socketcall on i386", () => {
  const seccomp = allowing([{ names: ["connect"], action: "SCMP_ACT_ALLOW" }]);
  assert.equal(verdict(seccomp, "i386", i386["connect"]!), ALLOW);
  assert.equal(verdict(seccomp, "i386", i386["socketcall"]!, [3n]), ALLOW);
  assert.equal(verdict(seccomp, "i386", i386["socketcall"]!, [1n]), ERRNO(1));
});

test("two conditions on one argument are alternatives, on two arguments both must hold", () => {
  const rule = (args: { index: number; op: string; value: number }[]): OciSeccomp => allowing([{ names: ["read"], action: "SCMP_ACT_ALLOW", args }]);
  const alternatives = rule([{ index: 0, op: "SCMP_CMP_EQ", value: 1 }, { index: 0, op: "SCMP_CMP_EQ", value: 2 }]);
  assert.equal(verdict(alternatives, "x86_64", 0, [2n]), ALLOW);
  assert.equal(verdict(alternatives, "x86_64", 0, [3n]), ERRNO(1));
  const together = rule([{ index: 0, op: "SCMP_CMP_EQ", value: 1 }, { index: 2, op: "SCMP_CMP_GE", value: 5 }]);
  assert.equal(verdict(together, "x86_64", 0, [1n, 0n, 5n]), ALLOW);
  assert.equal(verdict(together, "x86_64", 0, [1n, 0n, 4n]), ERRNO(1));
});

test("the program is made once for a profile, whichever object says it", () => {
  const seccomp = (): OciSeccomp => allowing([{ names: ["read"], action: "SCMP_ACT_ALLOW" }]);
  const one = seccomp();
  assert.equal(compileSeccomp(one, "x86_64"), compileSeccomp(one, "x86_64"));
  assert.equal(compileSeccomp(one, "x86_64").program, compileSeccomp(seccomp(), "x86_64").program);
});

const operators: Record<string, (a: bigint, b: bigint, mask: bigint) => boolean> = {
  EQ: (a, b) => a === b,
  NE: (a, b) => a !== b,
  LT: (a, b) => a < b,
  LE: (a, b) => a <= b,
  GT: (a, b) => a > b,
  GE: (a, b) => a >= b,
  MASKED_EQ: (a, b, mask) => (a & mask) === b,
};
const words = [0n, 1n, 2n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn];
const value64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.tuple(fc.constantFrom(...words), fc.constantFrom(...words)).map(([high, low]) => (high << 32n) | low));

test("comparisons are of 64 bits, for every operator and several conditions", () => {
  const condition = fc.record({ index: fc.integer({ min: 0, max: 5 }), op: fc.constantFrom(...Object.keys(operators)), value: value64, valueTwo: value64 });
  const conditions = fc.uniqueArray(condition, { selector: ({ index }) => index, minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(fc.array(conditions, { minLength: 1, maxLength: 3 }), fc.array(value64, { minLength: 6, maxLength: 6 }), (rules, values) => {
      const holds = rules.some((rule) => rule.every(({ index, op, value, valueTwo }) => operators[op]!(values[index]!, op === "MASKED_EQ" ? valueTwo : value, value)));
      const seccomp = allowing(rules.map((rule) => ({ names: ["read"], action: "SCMP_ACT_ALLOW", args: rule.map((one) => ({ ...one, op: `SCMP_CMP_${one.op}` })) })));
      assert.equal(verdict(seccomp, "x86_64", 0, values), holds ? ALLOW : ERRNO(1));
    }),
    { numRuns: 500 },
  );
});

test("any set of calls is exactly what is allowed, in a filter that the kernel accepts in size", () => {
  const names = Object.keys(x86_64);
  fc.assert(
    fc.property(fc.subarray(names, { minLength: 1 }), (allowed) => {
      const seccomp = allowing([{ names: allowed, action: "SCMP_ACT_ALLOW" }]);
      const set = new Set(allowed.map((name) => x86_64[name]!));
      const largest = Math.max(...set);
      assert.ok(compileSeccomp(seccomp, "x86_64").program.byteLength / 8 <= 4096);
      for (let number = 0; number < 600; number++) assert.equal(verdict(seccomp, "x86_64", number), set.has(number) ? ALLOW : number > largest ? ERRNO(38) : ERRNO(1));
    }),
    { numRuns: 30 },
  );
});
