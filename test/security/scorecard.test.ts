/** docs/security.md's scorecard speaks of tests that are there, each class with its control, and every CVE of the tests is in it. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const project = join(import.meta.dirname, "../..");
const scorecard = /## Scorecard\n([^]*?)\n## /.exec(readFileSync(join(project, "docs/security.md"), "utf8"))![1]!;
const cvesOf = (text: string): string[] => [...new Set(text.match(/CVE-\d{4}-\d+/g) ?? [])];
const rows = scorecard.split("\n").filter((line) => line.startsWith("| ")).map((line) => line.slice(1, -1).split("|").map((cell) => cell.trim()));
const classes = rows.filter((cells) => cells.length > 3).slice(1);
const isThere = (test: string): boolean => existsSync(join(project, test)) || globSync(`${test}{.test.ts,.c,.sh,/*.test.ts}`, { cwd: project }).length > 0 || globSync(`${test}*.test.ts`, { cwd: project }).length > 0;

test("each class has a control and tests", (context) => {
  for (const [name, , what, control, tests] of classes) {
    assert.ok(what !== "" && control !== "" && tests !== undefined, `${name} has no control`);
    for (const one of tests.split(", ")) assert.ok(isThere(one), `${name}: ${one} is not there`);
  }
  context.diagnostic(`classes ${classes.length}, CVEs ${cvesOf(scorecard).length}`);
});

test("each CVE that a test names is in the scorecard", () => {
  const named = globSync("{src,test}/**/*.test.ts", { cwd: project }).flatMap((file) => cvesOf(readFileSync(join(project, file), "utf8")));
  assert.deepEqual(named.filter((cve) => !scorecard.includes(cve)), []);
});
