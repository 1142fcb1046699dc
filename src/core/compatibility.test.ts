import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compatibilityPage, supportOf } from "./compatibility.ts";
import { createRequestSchema, hostConfigSchema } from "./container-config.ts";
import { field, string, struct } from "../lib/schema.ts";

test("docs/compatibility.md is current (node scripts/compatibility.ts writes it)", () => {
  const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "compatibility.md"), "utf8");
  assert.equal(page, compatibilityPage());
});

test("every field has a status, and those that are not done say why", () => {
  const silent = supportOf(hostConfigSchema).filter(({ path, status, note }) => status !== "done" && note === "" && !path.includes("."));
  assert.deepEqual(silent, []);
  assert.throws(() => supportOf(struct("X", { A: field(string) })), /A has no status/);
  assert.equal(createRequestSchema.kind, "struct");
});
