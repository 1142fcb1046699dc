import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { snapshotterContract } from "../../core/snapshotter.contract.ts";
import { openOverlay } from "../../sys/archive.ts";
import { create } from "./index.ts";

snapshotterContract("overlay2", create, ([mount]) => {
  assert.ok(mount);
  if (mount.type === "bind") return { path: mount.source, [Symbol.dispose]: () => undefined };
  const fd = openOverlay({ lower: mount.lower, own: { upper: mount.upper, work: mount.work }, options: mount.options });
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
});
