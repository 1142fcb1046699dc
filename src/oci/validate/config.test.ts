import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GantryError } from "../../lib/errors.ts";
import { parseConfig, parseProcess } from "./config.ts";

/** Beside the checkout, where the reference material is kept; it is no part of the project. */
const fixtures = join(import.meta.dirname, "../../../../shared/reference/oci-runtime/fixtures/config");
const skip = existsSync(fixtures) ? false : `no ${fixtures} here`;
const namesIn = (folder: string): string[] => (skip === false ? readdirSync(join(fixtures, folder)) : []);
const textOf = (folder: string, name: string): string => readFileSync(join(fixtures, folder, name), "utf8");

test("the specification's good configurations are read", { skip }, () => {
  for (const name of namesIn("good")) assert.match(parseConfig(textOf("good", name)).ociVersion, /^\d/, name);
});

test("its bad ones that concern Linux are refused with the field", { skip }, () => {
  const expected: Record<string, RegExp> = {
    "invalid-json.json": /not JSON/,
    "linux-hugepage.json": /linux\.resources\.hugepageLimits\[0\]\.pageSize must be like/,
    "linux-netdevice.json": /linux\.netDevices\.eth0\.name must be a string, not 23/,
    "linux-rdma.json": /linux\.resources\.rdma\.mlx5_1\.hcaHandles must be a whole number/,
  };
  for (const [name, pattern] of Object.entries(expected)) assert.throws(() => parseConfig(textOf("bad", name)), pattern);
});

test("null is absent, what nobody knows is ignored, 64-bit values survive", () => {
  const parsed = parseConfig('{"ociVersion":"1.2.0","hostname":null,"surprise":{"a":1},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"b","args":[{"index":0,"value":18446744073709551615,"op":"c"}]}]}}}');
  assert.deepEqual(parsed, { ociVersion: "1.2.0", linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["a"], action: "b", args: [{ index: 0, value: 0xffff_ffff_ffff_ffffn, op: "c" }] }] } } });
});

test("wrong types and ranges name their field", () => {
  const refuse = (json: string, pattern: RegExp): void => assert.throws(() => parseConfig(json), pattern);
  refuse("[]", /the configuration must be an object/);
  refuse("{}", /ociVersion is missing/);
  refuse('{"ociVersion":"1.0.0","process":{"cwd":"/","args":["a",5]}}', /process\.args\[1\] must be a string, not 5/);
  refuse('{"ociVersion":"1.0.0","process":{"user":{"uid":4294967296,"gid":0},"cwd":"/","args":["a"]}}', /process\.user\.uid must be from 0 to 4294967295, not 4294967296/);
  refuse('{"ociVersion":"1.0.0","process":{"user":{"uid":"0x0","gid":0},"cwd":"/","args":["a"]}}', /process\.user\.uid must be a whole number, not "0x0"/);
  refuse('{"ociVersion":"1.0.0","linux":{"devices":[{"path":"/d"}]}}', /linux\.devices\[0\]\.type is missing/);
});

test("names of JavaScript's own objects are data", () => {
  const parsed = parseConfig('{"ociVersion":"1.0.0","annotations":{"__proto__":"x","constructor":"y"}}');
  assert.deepEqual(Object.entries(parsed.annotations!), [["__proto__", "x"], ["constructor", "y"]]);
});

test("nesting of a million levels is refused, not a crash", () => {
  const deep = `${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`;
  for (const name of ["x", "hostname"]) assert.throws(() => parseConfig(`{"ociVersion":"1.0.0","${name}":${deep}}`), GantryError);
});

test("a process file of exec", () => {
  assert.deepEqual(parseProcess('{"args":["id"],"cwd":"/","user":{"uid":1,"gid":2}}'), { args: ["id"], cwd: "/", user: { uid: 1, gid: 2 } });
});
