import assert from "node:assert/strict";
import { test } from "node:test";
import { supportOf } from "./compatibility.ts";
import { createRequestSchema, hostConfigSchema } from "./container-config.ts";
import { field, string, struct } from "../lib/schema.ts";

test("every field has a status, and those that are not done say why", () => {
  const silent = supportOf(hostConfigSchema).filter(({ path, status, note }) => status !== "done" && note === "" && !path.includes("."));
  assert.deepEqual(silent, []);
  assert.throws(() => supportOf(struct("X", { A: field(string) })), /A has no status/);
  assert.equal(createRequestSchema.kind, "struct");
});
