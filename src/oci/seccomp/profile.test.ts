import assert from "node:assert/strict";
import { test } from "node:test";
import { capabilityNames, defaultCapabilities } from "../../core/oci-defaults.ts";
import type { Architecture } from "../host.ts";
import { compileSeccomp } from "./compile.ts";
import { runFilter } from "./interpreter.testing.ts";
import { defaultSeccomp, parseProfile, parseSeccomp } from "./profile.ts";
import { seccompProfiles } from "./profiles.ts";
import { expectedVerdict, referenceRules, samples, skip, text } from "./reference.testing.ts";
import * as numbers from "./syscall-numbers.ts";

const machines: { host: Architecture; docker: string; abis: { audit: number; table: Record<string, number> }[] }[] = [
  { host: "x86_64", docker: "amd64", abis: [{ audit: 0xc000_003e, table: numbers.x86_64 }, { audit: 0x4000_0003, table: numbers.i386 }] },
  { host: "aarch64", docker: "arm64", abis: [{ audit: 0xc000_00b7, table: numbers.aarch64 }, { audit: 0x4000_0028, table: numbers.arm }] },
];

test("the default profile is Docker's, for every call of every architecture and every capability", { skip }, () => {
  const syscalls = referenceRules();
  const sets = [[], defaultCapabilities, capabilityNames, ...capabilityNames.map((name) => [name])];
  let compared = 0;
  for (const { host, docker, abis } of machines) {
    for (const capabilities of sets) {
      const { program } = compileSeccomp(defaultSeccomp({ capabilities, host: { architecture: host, kernelRelease: "6.18.0" } }), host);
      for (const { audit, table } of abis) {
        const names = new Map(Object.entries(table).map(([name, number]) => [number, name]));
        const largest = Math.max(...Object.entries(table).filter(([name, number]) => number < 0xf_0000 && syscalls.some((rule) => rule.names.includes(name))).map(([, number]) => number));
        for (let number = 0; number <= largest; number++) {
          const name = names.get(number) ?? "no such call";
          const conditional = syscalls.some((rule) => rule.args && rule.names.includes(name));
          for (const sample of conditional ? samples : [0]) {
            const got = runFilter(program, { architecture: audit, number, arguments: [BigInt(sample)] });
            assert.equal(got, expectedVerdict(syscalls, name, { values: [sample], capabilities, docker }), `${host} 0x${audit.toString(16)} ${name}(${sample}) with ${capabilities.join()}`);
            compared++;
          }
        }
        assert.equal(runFilter(program, { architecture: audit, number: largest + 1 }), 0x0005_0026);
      }
    }
  }
  assert.ok(compared > 50_000, `${compared} verdicts`);
});

test("Docker's own file, as a custom profile, means the same", { skip }, () => {
  for (const { host, abis } of machines) {
    const context = { capabilities: defaultCapabilities, host: { architecture: host, kernelRelease: "6.18.0" } };
    const own = compileSeccomp(defaultSeccomp(context), host).program;
    const custom = compileSeccomp(parseSeccomp(text(), context)!, host).program;
    for (const { audit } of abis) {
      for (let number = 0; number < 520; number++) {
        for (const sample of samples) {
          const call = { architecture: audit, number, arguments: [BigInt(sample)] };
          assert.equal(runFilter(custom, call), runFilter(own, call), `${host} ${number}(${sample})`);
        }
      }
    }
  }
});

test("AF_ALG sockets are refused, AF_INET ones are not", () => {
  const { program } = compileSeccomp(defaultSeccomp({ capabilities: defaultCapabilities, host: { architecture: "x86_64", kernelRelease: "6.18.0" } }), "x86_64");
  const socket = (family: bigint): number => runFilter(program, { architecture: 0xc000_003e, number: numbers.x86_64["socket"]!, arguments: [family] });
  assert.equal(socket(38n), 0x0005_0001);
  assert.equal(socket(40n), 0x0005_0001);
  assert.equal(socket(2n), 0x7fff_0000);
});

test("the default section is one object for one set of capabilities", () => {
  const profiles = seccompProfiles({ architecture: "x86_64", kernelRelease: "6.18.0" });
  assert.equal(profiles.builtin(["CAP_CHOWN", "CAP_KILL"]), profiles.builtin(["CAP_KILL", "CAP_CHOWN"]));
  assert.notEqual(profiles.builtin(["CAP_SYS_ADMIN"]), profiles.builtin([]));
});

const context = { capabilities: ["CAP_SYS_TIME"], host: { architecture: "x86_64" as const, kernelRelease: "5.10.0-1" } };

test("a rule counts by capability, architecture and kernel", () => {
  const rules = (filters: object): number => parseSeccomp(JSON.stringify({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW", ...filters }] }), context)!.syscalls!.length;
  assert.equal(rules({}), 1);
  assert.equal(rules({ includes: { caps: ["CAP_SYS_TIME"] } }), 1);
  assert.equal(rules({ includes: { caps: ["CAP_SYS_TIME", "CAP_BPF"] } }), 0);
  assert.equal(rules({ excludes: { caps: ["CAP_SYS_TIME"] } }), 0);
  assert.equal(rules({ includes: { arches: ["arm64"] } }), 0);
  assert.equal(rules({ excludes: { arches: ["amd64"] } }), 0);
  assert.equal(rules({ includes: { minKernel: "5.10" } }), 1);
  assert.equal(rules({ includes: { minKernel: "5.11" } }), 0);
  assert.equal(rules({ excludes: { minKernel: "4.8" } }), 0);
});

test("the old format with one name a rule is read, and values keep their 64 bits", () => {
  const section = parseSeccomp('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"clone","action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}', context)!;
  assert.deepEqual(section.syscalls![0]!.names, ["clone"]);
  assert.equal(section.syscalls![0]!.args![0]!.value, 0xffff_ffff_ffff_ffffn);
});

test("an empty profile is no filter", () => assert.equal(parseSeccomp("{}", context), undefined));

test("what is not a profile is refused with its field", () => {
  const refuse = (text: string, pattern: RegExp): void => assert.throws(() => parseProfile(text), pattern);
  refuse("{", /^GantryError: Decoding seccomp profile failed/);
  refuse("[]", /the profile is not an object/);
  refuse('{"defaultAction":7}', /defaultAction is not a text/);
  refuse('{"defaultAction":"SCMP_ACT_ALLOW","surprise":1}', /unknown field "surprise"/);
  refuse('{"syscalls":[{"names":["a"],"name":"b","action":"x"}]}', /both 'name' and 'names'/);
  refuse('{"architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}', /both 'architectures' and 'archMap'/);
  refuse('{"syscalls":[{"names":["a"],"action":"x","includes":{"minKernel":"new"}}]}', /minKernel "new"/);
});
