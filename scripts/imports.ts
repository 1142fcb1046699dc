/**
 * Checks who imports whom: node scripts/imports.ts. The rules are in .dependency-cruiser.cjs.
 * dependency-cruiser passes when its parser understands no file, so every source file must be among those it read.
 */
import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";

interface Result {
  modules: { source: string; dependencies: unknown[] }[];
  summary: { violations: { from: string; to: string; rule: { name: string; severity: string } }[] };
}

const folders = ["src", "scripts", "test", "bench"];
const files = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`));
const args = ["node_modules/dependency-cruiser/bin/dependency-cruiser.mjs", "--config", ".dependency-cruiser.cjs", "--output-type", "json", ...folders];
const result = JSON.parse(cruise(args)) as Result;

const read = new Set(result.modules.map((module) => module.source));
const unread = files.filter((file) => !read.has(file));
const edges = result.modules.reduce((sum, module) => sum + module.dependencies.length, 0);
for (const { rule, from, to } of result.summary.violations) console.error(`${rule.name}: ${from} imports ${to}`);
for (const file of unread) console.error(`not read by dependency-cruiser: ${file}`);
console.log(`imports: ${files.length} files, ${edges} imports, ${result.summary.violations.length} violations`);
if (files.length === 0 || edges === 0 || unread.length > 0 || result.summary.violations.length > 0) process.exitCode = 1;

/** Its exit status is the number of violations; the output says it all. */
function cruise(args: string[]): string {
  try {
    return execFileSync(process.execPath, args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "inherit"] });
  } catch (thrown) {
    const output = (thrown as { stdout?: string }).stdout;
    if (output === undefined || output === "") throw thrown;
    return output;
  }
}
