import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultDeviceRules } from "../../core/oci-defaults.ts";
import { fc } from "../../lib/fast-check.testing.ts";
import { deviceProgram } from "./device-program.ts";
import type { DeviceRule } from "./device-rules.ts";
import { deviceChanges, deviceRules, deviceWrites } from "./device-rules.ts";

interface Access {
  type: "b" | "c";
  major: number;
  minor: number;
  access: string;
}

/** The rules, read literally: the last one that concerns a kind of access decides it. */
function allowed(rules: readonly DeviceRule[], { type, major, minor, access }: Access): boolean {
  return [...access].every((letter) => rules.findLast((rule) => (rule.type === "a" || rule.type === type) && (rule.major === -1 || rule.major === major) && (rule.minor === -1 || rule.minor === minor) && rule.access.includes(letter))?.allow ?? false);
}

/** Runs a device program on a call, with the few eBPF instructions that it is made of. */
function runDeviceProgram(program: Uint8Array, { type, major, minor, access }: Access): boolean {
  const bits = [...access].reduce((sum, letter) => sum | { m: 1, r: 2, w: 4 }[letter as "m"], 0);
  const context = [(bits << 16) | (type === "b" ? 1 : 2), major, minor];
  const registers = new Uint32Array(11);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  for (let at = 0; at < program.byteLength / 8; at++) {
    const [code, nibbles, offset, immediate] = [view.getUint8(at * 8), view.getUint8(at * 8 + 1), view.getInt16(at * 8 + 2, true), view.getInt32(at * 8 + 4, true)];
    const [dst, src] = [nibbles & 15, nibbles >> 4];
    const k = immediate >>> 0;
    if (code === 0x61) registers[dst] = context[offset / 4]!;
    else if (code === 0xbc) registers[dst] = registers[src]!;
    else if (code === 0xb7) registers[dst] = k;
    else if (code === 0x54) registers[dst]! &= k;
    else if (code === 0x74) registers[dst]! >>>= k;
    else if (code === 0x05) at += offset;
    else if (code === 0x56) at += registers[dst] === k ? 0 : offset;
    else if (code === 0x46) at += (registers[dst]! & k) === 0 ? 0 : offset;
    else if (code === 0x95) return registers[0] === 1;
    else throw new Error(`unknown instruction 0x${code.toString(16)}`);
  }
  throw new Error("the program does not end");
}

/** What a v1 group answers after its writes: one default, and exceptions each of which may grant on its own. */
function v1Allows(writes: { file: string; data: string }[], { type, major, minor, access }: Access): boolean {
  const allowAll = writes[0]!.file === "devices.allow";
  const matching = writes.slice(1).map(({ data }) => data.split(/[ :]/)).filter(([t, m, n]) => t === type && (m === "*" || m === String(major)) && (n === "*" || n === String(minor)));
  return allowAll ? !matching.some(([, , , letters]) => [...access].some((letter) => letters!.includes(letter))) : matching.some(([, , , letters]) => [...access].every((letter) => letters!.includes(letter)));
}

const number = fc.constantFrom(1, 2, 5, 0xffff_fff0);
const letters = fc.subarray(["r", "w", "m"], { minLength: 1 }).map((list) => list.join(""));
const rule: fc.Arbitrary<DeviceRule> = fc.oneof(
  fc.record({ allow: fc.boolean(), type: fc.constant("a" as const), major: fc.constant(-1), minor: fc.constant(-1), access: fc.constant("rwm") }),
  fc.record({ allow: fc.boolean(), type: fc.constantFrom("b" as const, "c" as const), major: fc.oneof(number, fc.constant(-1)), minor: fc.oneof(number, fc.constant(-1)), access: letters }),
);
const call: fc.Arbitrary<Access> = fc.record({ type: fc.constantFrom("b", "c"), major: number, minor: number, access: letters });

test("the v2 program decides as the rules say, the last one first", () => {
  fc.assert(fc.property(fc.array(rule, { maxLength: 8 }), fc.array(call, { minLength: 1, maxLength: 8 }), (rules, calls) => {
    const program = deviceProgram(rules);
    for (const one of calls) assert.equal(runDeviceProgram(program, one), allowed(rules, one), JSON.stringify(one));
  }), { numRuns: 500 });
});

test("v1 writes never grant what the rules deny", () => {
  fc.assert(fc.property(fc.array(rule, { maxLength: 6 }), fc.array(call, { minLength: 1, maxLength: 8 }), (rules, calls) => {
    let writes: { file: string; data: string }[];
    try {
      writes = deviceWrites(rules);
    } catch (error) {
      assert.match(String(error), /cgroup v1/);
      return;
    }
    for (const one of calls) if (v1Allows(writes, one)) assert.ok(allowed(rules, one), `${JSON.stringify(one)} by ${JSON.stringify(writes)}`);
  }), { numRuns: 3000 });
});

test("Docker's default rules deny all but the default devices", () => {
  const rules = deviceRules(defaultDeviceRules);
  const reach = (major: number, minor: number, access = "rw", type: "b" | "c" = "c"): boolean[] => [v1Allows(deviceWrites(rules), { type, major, minor, access }), runDeviceProgram(deviceProgram(rules), { type, major, minor, access })];
  for (const [major, minor] of [[1, 3], [1, 5], [1, 7], [1, 8], [1, 9], [5, 0], [5, 2], [136, 7]] as const) assert.deepEqual(reach(major, minor), [true, true], `${major}:${minor}`);
  assert.deepEqual(reach(10, 229), [false, false]);
  assert.deepEqual(reach(1, 1), [false, false]);
  assert.deepEqual(reach(8, 0, "r", "b"), [false, false]);
  assert.deepEqual(reach(8, 0, "m", "b"), [true, true]);
});

test("a privileged container reaches every device", () => {
  const rules = deviceRules([{ allow: true, access: "rwm" }]);
  assert.deepEqual(deviceWrites(rules).map(({ file, data }) => `${file}=${data}`), ["devices.allow=a"]);
  assert.ok(runDeviceProgram(deviceProgram(rules), { type: "b", major: 8, minor: 0, access: "rwm" }));
});

test("rules that make no sense are refused by field", () => {
  assert.throws(() => deviceRules([{ allow: true, type: "x" }]), /devices\[0\]\.type "x"/);
  assert.throws(() => deviceRules([{ allow: true, access: "rx" }]), /devices\[0\]\.access "rx"/);
  assert.throws(() => deviceRules([{ allow: true, type: "c", major: -5 }]), /devices\[0\]\.major -5/);
  assert.throws(() => deviceRules([{ allow: true, type: "a", major: 5 }]), /devices\[0\]\.type "a"/);
});

test("a v1 group in use gets what is different alone, and one that allowed everything is written anew", () => {
  const listed = "c *:* m\nb *:* m\nc 1:3 rwm\nc 1:8 rwm\nc 1:7 rwm\nc 5:0 rwm\nc 1:5 rwm\nc 1:9 rwm\nc 136:* rwm\nc 5:2 rwm\nc 10:200 rwm\nc 10:229 rwm\n";
  const deny = { allow: false, access: "rwm" };
  const fuse = { allow: true, type: "c", major: 10, minor: 229, access: "rwm" };
  const loop = { allow: true, type: "b", major: 7, minor: 0, access: "r" };
  assert.deepEqual(deviceChanges(deviceRules([deny, fuse]), listed), []);
  assert.deepEqual(deviceChanges(deviceRules([deny, { ...fuse, access: "rm" }, loop]), listed), [{ file: "devices.deny", data: "c 10:229 w" }, { file: "devices.allow", data: "b 7:0 r" }]);
  assert.deepEqual(deviceChanges(deviceRules([deny]), listed), [{ file: "devices.deny", data: "c 10:229 rwm" }]);
  assert.deepEqual(deviceChanges(deviceRules([deny]), "a *:* rwm\n"), deviceWrites(deviceRules([deny])));
  assert.deepEqual(deviceChanges(deviceRules([{ allow: true, access: "rwm" }]), "a *:* rwm\n"), []);
});
