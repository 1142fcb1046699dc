import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SharedMemory } from "./shared-memory.ts";

test("a tmpfs for each container, until it is released", { skip: process.getuid?.() === 0 ? false : "mounting needs root" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-shm-"));
  const memory = new SharedMemory(folder);
  const mounted = (id: string): boolean => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${memory.pathOf(id)} `);
  try {
    const path = memory.make("one", 1 << 20);
    writeFileSync(join(path, "x"), "x");
    assert.equal(statfsSync(path).blocks * statfsSync(path).bsize, 1 << 20);
    memory.make("one", 1 << 20);
    assert.throws(() => readFileSync(join(path, "x")), { code: "ENOENT" });
    memory.make("two", 1 << 20);
    memory.sweep((id) => id === "two");
    assert.deepEqual([mounted("one"), mounted("two")], [false, true]);
    memory.release("two");
    memory.release("two");
    assert.equal(mounted("two"), false);
  } finally {
    memory.sweep(() => false);
    rmSync(folder, { recursive: true });
  }
});
