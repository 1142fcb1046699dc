import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { launcherRequest, launcherVersion, sections, shimVersion } from "../shim/protocol.ts";
import { GantryError } from "../../lib/errors.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { encodePlan, namespaceTypes, opCodes } from "./encode.ts";

const header = (name: string): string => readFileSync(join(import.meta.dirname, "../../../native/shim", name), "utf8");

/** Constants of an enum, in C's names without their prefix. */
function enumOf(text: string, name: string, prefix: string): string[] {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(text)?.[1] ?? "";
  return body.split(",").map((item) => item.trim().replace(/ *=.*/, "").replace(prefix, "")).filter(Boolean);
}

const camel = (name: string): string => name.toLowerCase().replace(/_(.)/g, (_, char: string) => char.toUpperCase());

test("numbers are those of the C headers", () => {
  const plan = header("plan.h");
  assert.deepEqual(enumOf(plan, "op_code", "OP_").slice(0, -1).map(camel), opCodes);
  assert.deepEqual(enumOf(plan, "namespace_type", "NS_").slice(0, -1).map(camel), namespaceTypes);
  assert.deepEqual(enumOf(plan, "section", "SECTION_").map(camel), sections);
  assert.deepEqual(enumOf(header("launcher.h"), "launcher_request", "LAUNCHER_").map(camel), Object.keys(launcherRequest));
  assert.match(header("shim.h"), new RegExp(`SHIM_VERSION ${shimVersion}\\b`));
  assert.match(header("launcher.h"), new RegExp(`LAUNCHER_VERSION ${launcherVersion}\\b`));
});

test("strings that C reads in place end with a zero and have none inside", () => {
  const w = new ByteWriter(4);
  w.string("äx");
  assert.deepEqual([...w.bytes()], [3, 0, 0, 0, 0xc3, 0xa4, 0x78, 0]);
  assert.equal(new ByteReader(w.bytes()).string(), "äx");
  assert.throws(() => w.string("a\0b"), GantryError);
  assert.throws(() => new ByteReader(Buffer.from([9, 0, 0, 0, 65])).string(), RangeError);
});

test("a plan starts with its magic and version", () => {
  const exec = { terminal: false, user: { uid: 0, gid: 0, additionalGids: [] }, cwd: "/", createCwd: false, args: ["true"], env: [], rlimits: [], noNewPrivileges: false };
  const bytes = encodePlan({ namespaces: [{ type: "mount", kind: "new" }], host: [], parent: [], child: [], exec, teardown: [] });
  assert.equal(bytes.toString("latin1", 0, 4), "GPLN");
  assert.equal(bytes.readUInt32LE(4), 2);
});
