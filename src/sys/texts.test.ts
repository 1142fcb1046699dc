import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathsOf, readTexts } from "./texts.ts";

test("texts in the order of their paths; what cannot be read is undefined", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-texts-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = { small: "a b\n", empty: "", large: "0123456789".repeat(10_000), "nämé": "\xe9" };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content, "latin1");
  mkdirSync(join(folder, "folder"));
  const names = [...Object.keys(files), "missing", "folder", "small"];
  assert.deepEqual([...(await readTexts(pathsOf(names.map((name) => join(folder, name)))))], [...Object.values(files), undefined, undefined, "a b\n"]);
  assert.deepEqual(await readTexts(pathsOf([])), []);
  const [own] = await readTexts(pathsOf(["/proc/self/status"]));
  assert.match(own ?? "", /^Name:/);
});
