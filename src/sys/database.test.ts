import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openDatabase, settleDatabase } from "./database.ts";

const first = { id: "a-1", sql: "CREATE TABLE a (x TEXT) STRICT" };
const second = { id: "a-2", sql: "ALTER TABLE a ADD COLUMN y TEXT" };
const wrong = { id: "a-3", sql: "CREATE TABLE a (x TEXT) STRICT" };

test("what is settled is in the file itself", () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-database-"));
  try {
    const database = openDatabase(join(folder, "state.db"), [first]);
    database.exec("INSERT INTO a VALUES ('y')");
    assert.ok(statSync(join(folder, "state.db-wal")).size > 0);
    settleDatabase(database);
    assert.equal(statSync(join(folder, "state.db-wal")).size, 0);
    database.exec("INSERT INTO a VALUES ('z')");
    database.close();
    const again = openDatabase(join(folder, "state.db"), [first]);
    assert.equal(again.prepare("SELECT count(*) AS count FROM a").get()?.["count"], 2);
    again.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("new or not, a database has all migrations once and survives the process", () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-database-"));
  const path = join(folder, "state.db");
  try {
    for (const migrations of [[first], [first, second], [first, second]]) {
      const database = openDatabase(path, migrations);
      assert.equal(database.prepare("SELECT count(*) AS count FROM migrations").get()?.["count"], migrations.length);
      const settings = ["synchronous", "journal_mode", "foreign_keys"].map((name) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
      assert.deepEqual(settings, [1, "wal", 1]);
      database.close();
    }
    assert.throws(() => openDatabase(path, [first, second, wrong]), /cannot migrate the state database .*table a already exists/);
    openDatabase(path, [first, second]).close();
    assert.throws(() => openDatabase(path, [first]), /was changed by a newer version of gantryd \(a-2\).* start the newer version again/);
    openDatabase(path, [first, second]).close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
