import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockRoot } from "./root-lock.ts";

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
