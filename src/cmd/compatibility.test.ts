import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMMANDS } from "../cli/tree/container.ts";
import { CREATE_FIELDS, FLAG_NOTES } from "../cli/tree/support.ts";
import { compatibilityPage, createFieldSupport, flagsOf } from "./compatibility.ts";

test("docs/compatibility.md is current (node scripts/compatibility.ts writes it)", async () => {
  const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "compatibility.md"), "utf8");
  assert.equal(page, await compatibilityPage());
});

test("every flag of create and run says which field it sets, and each of these is there", () => {
  const fields = createFieldSupport();
  for (const command of ["container create", "container run"]) {
    const silent = flagsOf(COMMANDS[command]).filter(({ name }) => !Object.hasOwn(CREATE_FIELDS, name) && FLAG_NOTES[command]?.[name] === undefined);
    assert.deepEqual(silent.map(({ name }) => name), []);
  }
  for (const [flag, field] of Object.entries(CREATE_FIELDS)) {
    assert.ok(field === undefined || fields.has(field), `--${flag} sets ${field}, which is no field`);
    assert.ok(flagsOf(COMMANDS["container run"]).some(({ name }) => name === flag), `--${flag} is no flag`);
  }
});
