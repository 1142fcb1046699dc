import assert from "node:assert/strict";
import { snapshotterContract } from "../../core/snapshotter.contract.ts";
import { create } from "./index.ts";

snapshotterContract("vfs", create, ([mount]) => {
  assert.ok(mount?.type === "bind");
  return { path: mount.source, [Symbol.dispose]: () => undefined };
});
