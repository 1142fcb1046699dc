import assert from "node:assert/strict";
import { closeSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type EnterRootfs, snapshotterContract } from "../../core/snapshotter.contract.ts";
import { openOverlay } from "../../sys/archive.ts";
import { create } from "./index.ts";

const enter: EnterRootfs = ([mount]) => {
  assert.ok(mount);
  if (mount.type === "bind") return { path: mount.source, [Symbol.dispose]: () => undefined };
  const fd = openOverlay({ lower: mount.lower, own: { upper: mount.upper, work: mount.work }, options: mount.options });
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
};

snapshotterContract("overlay2", create, enter);

test("overlay2: 500 layers can be mounted, one more is refused by name", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-overlay2-"));
  try {
    const snapshotter = create(dir);
    const name = (at: number): string => `sha256:${String(at).padStart(64, "0")}`;
    for (let at = 0; at < 501; at++) {
      await snapshotter.prepare("unpack", undefined);
      await snapshotter.commit("unpack", name(at), at === 0 ? {} : { parent: name(at - 1) });
    }
    await snapshotter.prepare("container", name(499));
    using root = enter(snapshotter.mounts("container"));
    writeFileSync(join(root.path, "file"), "");
    await assert.rejects(snapshotter.prepare("further", name(500)), { code: "system", message: /more than 500 layers/ });
    await snapshotter.settled();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
