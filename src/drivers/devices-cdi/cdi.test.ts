import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { createCdiDriver } from "./index.ts";

const NULL = { path: "/dev/null", type: "c", major: 1, minor: 3 };

async function withFolders(files: Record<string, string>, run: (driver: ReturnType<typeof createCdiDriver>) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-cdi-"));
  try {
    for (const folder of ["low", "high"]) mkdirSync(join(dir, folder));
    for (const [path, text] of Object.entries(files)) writeFileSync(join(dir, path), text);
    await run(createCdiDriver([join(dir, "low"), join(dir, "missing"), join(dir, "high")]));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const file = (devices: object, more: object = {}, kind = "vendor.com/device"): string => JSON.stringify({ cdiVersion: "0.6.0", kind, devices: Object.entries(devices).map(([name, containerEdits]) => ({ name, containerEdits })), ...more });
const spec = (): OciSpec => ({ ociVersion: "1.3.0", process: { user: { uid: 0, gid: 0 }, args: ["x"], cwd: "/", env: ["FOO=own", "KEPT=1"] }, mounts: [{ destination: "/a/b" }, { destination: "/old" }], linux: {} });

test("each edit has its place in the configuration; those of the file come once, before its devices'", async () => {
  const edits = {
    env: ["FOO=device"],
    deviceNodes: [{ path: "/dev/made", hostPath: "/dev/null", permissions: "rw", uid: 7 }],
    mounts: [{ hostPath: "/lib/x", containerPath: "/old", options: ["ro", "bind"] }, { hostPath: "/lib", containerPath: "/a/b/c" }],
    hooks: [{ hookName: "createContainer", path: "/bin/hook", args: ["hook", "x"] }],
    additionalGids: [0, 44],
    netDevices: [{ hostInterfaceName: "eth9", name: "gpu0" }],
  };
  await withFolders({ "low/a.json": file({ one: edits, two: { env: ["TWO=2"] } }, { containerEdits: { env: ["FOO=file", "ALL=1"] } }) }, async (driver) => {
    const built = spec();
    await driver.inject(built, ["vendor.com/device=one", "vendor.com/device=two"]);
    assert.deepEqual(built.process?.env, ["KEPT=1", "ALL=1", "FOO=device", "TWO=2"]);
    assert.deepEqual(built.process?.user.additionalGids, [44]);
    assert.deepEqual(built.linux?.devices, [{ ...NULL, path: "/dev/made", uid: 7 }]);
    assert.deepEqual(built.linux?.resources?.devices, [{ allow: true, type: "c", major: 1, minor: 3, access: "rw" }]);
    assert.deepEqual(built.mounts, [{ destination: "/old", source: "/lib/x", options: ["ro", "bind"] }, { destination: "/a/b" }, { destination: "/a/b/c", source: "/lib" }]);
    assert.deepEqual(built.hooks, { createContainer: [{ path: "/bin/hook", args: ["hook", "x"] }] });
    assert.deepEqual(built.linux?.netDevices, { eth9: { name: "gpu0" } });
  });
});

test("a later folder wins; two files of one folder that name the same device make it unknown", async () => {
  const yaml = 'cdiVersion: "0.3.0"\nkind: vendor.com/device\ndevices:\n- name: one\n  containerEdits:\n    env:\n    - FROM=high\n';
  const files = { "low/a.json": file({ one: { env: ["FROM=low"] }, both: {} }), "low/b.json": file({ both: {} }), "high/c.yaml": yaml };
  await withFolders(files, async (driver) => {
    const built = spec();
    await driver.inject(built, ["vendor.com/device=one"]);
    assert.ok(built.process?.env?.includes("FROM=high"));
    const { names, warnings } = await driver.list();
    assert.deepEqual(names, ["vendor.com/device=one"]);
    assert.match(warnings.join(), /conflicting device vendor\.com\/device=both \(specs .*a\.json, .*b\.json\)/);
    await assert.rejects(driver.inject(spec(), ["vendor.com/device=both", "vendor.com/device=none"]), { code: "system", message: /unresolvable CDI devices vendor\.com\/device=both, vendor\.com\/device=none \(.*both is described by several files/ });
  });
});

test("a malformed file is a warning that names it and what is wrong, and hides no other", async () => {
  const bad: Record<string, [string, RegExp]> = {
    "low/b.json": ["{", /JSON/],
    "low/c.json": [file({ x: {} }, { cdiVersion: "9.0" }), /invalid version "9\.0"/],
    "low/d.json": [file({ x: {} }, {}, "device"), /invalid kind "device"/],
    "low/e.json": [file({}), /has no devices/],
    "low/f.json": [file({ "-x": {} }), /invalid name "-x"/],
    "low/g.json": [file({ x: { mounts: [{ hostPath: "/x" }] } }), /mounts in device x has no containerPath/],
    "low/h.json": [file({ x: { hooks: [{ hookName: "later", path: "/x" }] } }), /unknown hook name "later"/],
    "low/i.json": [file({ x: { env: ["=1"] } }), /invalid environment variable "=1"/],
    "low/j.yaml": ["a: [", /./],
    "low/k.json": [file({ x: { additionalGids: "44" } }), /additionalGids is no list/],
    "low/l.json": [file({ x: { mounts: [{ hostPath: "/x", containerPath: "/y", options: "ro" }] } }), /options is no list/],
    "low/m.json": [file({ x: { hooks: [{ hookName: "poststop", path: "/x", args: [1] }] } }), /args in device x holds something else than texts/],
  };
  await withFolders({ "low/a.json": file({ good: {} }), ...Object.fromEntries(Object.entries(bad).map(([path, [text]]) => [path, text])) }, async (driver) => {
    const { names, warnings } = await driver.list();
    assert.deepEqual(names, ["vendor.com/device=good"]);
    assert.equal(warnings.length, Object.keys(bad).length);
    for (const [path, [, reason]] of Object.entries(bad)) assert.ok(warnings.some((warning) => warning.includes(path) && reason.test(warning)), `${path}: ${warnings.join("\n")}`);
  });
});

test("a device node that the host has not is an error that names it", async () => {
  await withFolders({ "low/a.json": file({ gone: { deviceNodes: [{ path: "/dev/none-such" }] }, folder: { deviceNodes: [{ path: "/etc" }] } }) }, async (driver) => {
    await assert.rejects(driver.inject(spec(), ["vendor.com/device=gone"]), { code: "system", message: /device node \/dev\/none-such: no such file or directory/ });
    await assert.rejects(driver.inject(spec(), ["vendor.com/device=folder"]), { code: "system" });
  });
});
