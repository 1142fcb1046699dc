import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { lockMachine, lockRoot } from "./root-lock.ts";

test("daemons that choose at the same time do so one after the other; a stuck one is not waited for for ever", () => {
  const path = join(mkdtempSync(join(tmpdir(), "gantry-lock-")), "machine.lock");
  try {
    const held = lockMachine(path);
    assert.ok(held);
    assert.equal(lockMachine(path, 20), undefined);
    held[Symbol.dispose]();
    lockMachine(path, 20)?.[Symbol.dispose]();
    assert.equal(lockMachine("/dev/null/lock"), undefined);
  } finally {
    rmSync(dirname(path), { recursive: true });
  }
});

test("a folder has one holder, who is named, and a killed one holds it no more", async () => {
  const root = mkdtempSync(join(tmpdir(), "gantry-lock-"));
  const program = `const { lockRoot } = await import(${JSON.stringify(join(import.meta.dirname, "root-lock.ts"))}); globalThis.held = lockRoot(${JSON.stringify(root)}); console.log("held"); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(holder.stdout, "data");
    assert.throws(() => lockRoot(root), { code: "conflict", message: `${root} is in use by another gantryd (process ${holder.pid}): stop it, or choose another folder` });
    holder.kill("SIGKILL");
    await once(holder, "exit");
    lockRoot(root)[Symbol.dispose]();
    lockRoot(root)[Symbol.dispose]();
  } finally {
    holder.kill("SIGKILL");
    rmSync(root, { recursive: true });
  }
});
