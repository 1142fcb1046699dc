import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { auditFolders } from "./audit-folders.ts";
import { CheckService } from "./check.ts";

test("folders without an owner, owners without a folder, mounts without a user; only what is safe is repaired", async () => {
  const dataRoot = mkdtempSync(join(tmpdir(), "gantry-audit-"));
  try {
    for (const path of ["containers/one", "containers/stray", "containers/trash", "volumes/.trash", "volumes/data", "volumes/lost"]) mkdirSync(join(dataRoot, path), { recursive: true });
    const repaired: string[] = [];
    const check = new CheckService([
      () =>
        auditFolders({
          dataRoot,
          containers: () => [{ id: "one", running: true, started: true }, { id: "two", running: false, started: true }, { id: "new", running: false, started: false }],
          volumes: () => ["data"],
          hasLayer: (id) => id !== "two",
          mountpoints: () => ["/", join(dataRoot, "shm/one"), join(dataRoot, "shm/two"), join(dataRoot, "layers/x/merged"), join(dataRoot, "volumes/data/_data")],
          discardContainerFolder: (path) => void repaired.push(path),
          detach: (path) => {
            if (path.endsWith("merged")) throw new Error("busy");
            repaired.push(path);
          },
          patienceMilliseconds: 1,
        }),
    ]);
    const { counts, problems } = await check.check({ repair: true });
    assert.deepEqual(counts, { containers: 3, volumes: 1, mounts: 4 });
    assert.deepEqual(
      problems.map(({ kind, id, repaired: done }) => [kind, id.replace(dataRoot, ""), done]),
      [["container", "two", false], ["container", "two", false], ["file", "/containers/stray", true], ["volume", "lost", false], ["mount", "/shm/two", true], ["mount", "/layers/x/merged", false]],
    );
    assert.deepEqual(repaired, [join(dataRoot, "containers/stray"), join(dataRoot, "shm/two")]);
    assert.equal(problems.at(-1)?.remedy, "the repair failed: busy");
  } finally {
    rmSync(dataRoot, { recursive: true });
  }
});
