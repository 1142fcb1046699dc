import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Trash } from "./trash.ts";

const filesIn = (path: string): string[] => readdirSync(path, { recursive: true }).map(String).filter((name) => name !== "0" && name !== "1");

test("what is discarded is gone at once and deleted later, also while other things are being deleted", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-trash-"));
  try {
    const trash = new Trash(join(folder, "trash"));
    for (const round of [1, 2, 3]) {
      const path = join(folder, `thing-${round}`);
      mkdirSync(path);
      writeFileSync(join(path, "file"), "x");
      trash.discard(path);
      assert.ok(!existsSync(path));
      if (round < 3) void trash.settled();
    }
    trash.discard(join(folder, "nothing"));
    await trash.settled();
    assert.deepEqual(filesIn(join(folder, "trash")), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what an earlier process left goes, in either half and beside them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-trash-"));
  try {
    for (const place of ["old", "0/a", "1/b"]) mkdirSync(join(folder, place), { recursive: true });
    await new Trash(folder).settled();
    assert.deepEqual(readdirSync(folder, { recursive: true }).sort(), ["0", "1"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
