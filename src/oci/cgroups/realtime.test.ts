import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { CgroupLayout } from "./layout.ts";
import { realtimeGiver } from "./realtime.ts";

test("parents get a share of real time from the top down, where the kernel has it", (t) => {
  const mountpoint = mkdtempSync(join(tmpdir(), "gantry-realtime-"));
  t.after(() => rmSync(mountpoint, { recursive: true }));
  const layout = (version: 1 | 2): CgroupLayout => ({ mode: "v1", hierarchies: [{ version, mountpoint, controllers: ["cpu"], ownPath: "/" }], files: new Set() });
  assert.throws(() => realtimeGiver(layout(2), { period: 0, runtime: 1 }), /not implemented for cgroup v2/);
  assert.throws(() => realtimeGiver(layout(1), { period: 0, runtime: 1 }), /not supported by the kernel/);
  for (const folder of ["", "a", "a/b"]) {
    mkdirSync(join(mountpoint, folder), { recursive: true });
    for (const name of ["period", "runtime"]) writeFileSync(join(mountpoint, folder, `cpu.rt_${name}_us`), "0");
  }
  realtimeGiver(layout(1), { period: 500_000, runtime: 100_000 })("/a/b");
  const value = (folder: string, name: string): string => readFileSync(join(mountpoint, folder, `cpu.rt_${name}_us`), "utf8");
  assert.deepEqual(["", "a", "a/b"].map((folder) => [value(folder, "period"), value(folder, "runtime")]), [["0", "0"], ["500000", "100000"], ["500000", "100000"]]);
  assert.throws(() => realtimeGiver(layout(1), { period: 1, runtime: 1 })("/new"), /failed to write 1 to .*\/new\/cpu\.rt_period_us: ENOENT/);
});
