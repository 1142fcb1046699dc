import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DatabaseDisk } from "./database-disk.ts";
import { openDatabase } from "./database.ts";

test("who waits shares a sync with all who wait, gets one that began after his commit, and none when nothing is new", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-database-"));
  try {
    const path = join(folder, "state.db");
    const database = openDatabase(path, [{ id: "a-1", sql: "CREATE TABLE a (x INTEGER) STRICT" }]);
    const disk = new DatabaseDisk(database, path, [folder]);
    const insert = database.prepare("INSERT INTO a VALUES (1)");
    await disk.settled();
    assert.equal(disk.settled(), undefined);
    insert.run();
    const first = disk.settled();
    insert.run();
    const [second, third] = [disk.settled(), disk.settled()];
    assert.ok(first && second);
    assert.equal(second, third);
    assert.notEqual(first, second);
    await second;
    assert.equal(disk.settled(), undefined);
    database.close();
    disk[Symbol.dispose]();
    assert.equal(disk.settled(), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
