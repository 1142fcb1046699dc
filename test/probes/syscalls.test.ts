/** Every system call number, asked in a real container with Docker's default profile, against the published profile. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { capabilityNames, defaultCapabilities } from "../../src/core/oci-defaults.ts";
import { defaultSeccomp } from "../../src/oci/seccomp/profile.ts";
import { expectedVerdict, referenceRules, samples, skip as noReference } from "../../src/oci/seccomp/reference.testing.ts";
import { i386, x86_64 } from "../../src/oci/seccomp/syscall-numbers.ts";
import { Bundle, processOf, skip as cannotRun } from "../runtime/bundle.ts";

const notHere = cannotRun || noReference || (process.arch === "x64" ? false : "asks in the manner of x86-64") || (spawnSync("cc", ["--version"]).error ? "needs a C compiler" : false);

const ERRNO = 0x0005_0000;
const ALLOW = 0x7fff_0000;
const ENOSYS = 38;
const abis = [{ abi: 64, table: x86_64 }, { abi: 32, table: i386 }] as const;
const nameless = "no such call";
/** The kernel lets these pass before it asks any filter (kernel/seccomp.c), and ends whoever makes them by hand. */
const unfiltered = new Set(["uretprobe", "uprobe"]);

interface Question {
  line: string;
  /** "allowed" or the errno. */
  expected: string;
}

function questions(capabilities: readonly string[]): Question[] {
  const rules = referenceRules();
  return abis.flatMap(({ abi, table }) => {
    const names = new Map(Object.entries(table).map(([name, number]) => [number, name]));
    const largest = Math.max(...Object.entries(table).filter(([name]) => rules.some((rule) => rule.names.includes(name))).map(([, number]) => number));
    return Array.from({ length: 600 }, (_, number) => number).flatMap((number) => {
      const name = names.get(number) ?? nameless;
      if (abi === 64 && unfiltered.has(name)) return [];
      const conditional = rules.some((rule) => rule.args && rule.names.includes(name));
      return (conditional ? samples : [0]).map((sample) => {
        const verdict = number > largest ? ERRNO | ENOSYS : expectedVerdict(rules, name, { values: [sample], capabilities, docker: "amd64" });
        return { line: `${abi} ${number} ${sample}`, expected: verdict === ALLOW ? "allowed" : String(verdict & 0xffff) };
      });
    });
  });
}

function probe(bundle: Bundle, capabilities: readonly string[], asked: string[], filtered = true): Map<string, string> {
  const set = { bounding: [...capabilities], effective: [...capabilities], permitted: [...capabilities] };
  const seccomp = defaultSeccomp({ capabilities, host: { architecture: "x86_64", kernelRelease: "6.18.0" } });
  bundle.configure({ process: processOf(["/probe"], { capabilities: set }) }, filtered ? { seccomp } : {});
  const input = join(bundle.folder, "questions");
  writeFileSync(input, asked.map((line) => `${line}\n`).join(""));
  const { status, stdout, stderr } = bundle.runtimeWith({ stdin: openSync(input, "r") }, "run", bundle.id);
  assert.equal(status, 0, stderr);
  return new Map(stdout.trim().split("\n").map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
}

function bundleWithProbe(): Bundle {
  const bundle = new Bundle();
  execFileSync("cc", ["-O1", "-static", "-o", join(bundle.rootfs, "probe"), join(import.meta.dirname, "syscalls.c")]);
  return bundle;
}

test("the default profile's verdict on every call, as x86-64 and as i386", { skip: notHere }, (context) => {
  using bundle = bundleWithProbe();
  for (const capabilities of [defaultCapabilities, [], capabilityNames]) {
    const asked = questions(capabilities);
    const answers = probe(bundle, capabilities, asked.map(({ line }) => line));
    assert.equal(answers.size, asked.length);
    const differing = asked.filter(({ line, expected }) => answers.get(line) !== expected).map(({ line, expected }) => `${line}: expected ${expected}, got ${answers.get(line)}`);
    assert.deepEqual(differing, []);
    context.diagnostic(`calls ${asked.length}, mismatches 0`);
  }
});

test("x32 numbers are refused", { skip: notHere }, () => {
  using bundle = bundleWithProbe();
  const lines = [0, 1, 59, 512, 520, 547].map((number) => `64 ${(number | 0x4000_0000) >>> 0} 0`);
  assert.deepEqual([...probe(bundle, defaultCapabilities, lines).values()], lines.map(() => String(ENOSYS)));
});

test("without a profile the probe sees everything allowed (it can see a difference)", { skip: notHere }, () => {
  using bundle = bundleWithProbe();
  const lines = ["bpf", "mount", "kexec_load", "clone3"].map((name) => `64 ${x86_64[name]} 0`);
  assert.deepEqual([...probe(bundle, [], lines, false).values()], lines.map(() => "allowed"));
});
