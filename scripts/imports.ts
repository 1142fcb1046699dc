/**
 * Checks who imports whom: node scripts/imports.ts. The rules are in .dependency-cruiser.cjs.
 * dependency-cruiser passes when its parser understands no file, so every source file must be among those it read.
 */
import { cruise, type ICruiseOptions, type ICruiseResult, type IFlattenedRuleSet } from "dependency-cruiser";
import { globSync } from "node:fs";
import { createRequire } from "node:module";

interface Statement {
  type: string;
  decls?: unknown[];
}
interface Visitor {
  visitStatement(statement: Statement): Statement;
  visitVariableDeclarators(declarators: unknown[]): unknown;
}

const require = createRequire(import.meta.url);
const { forbidden, options } = require("../.dependency-cruiser.cjs") as { forbidden: NonNullable<IFlattenedRuleSet["forbidden"]>; options: ICruiseOptions };
teachUsing((require("@swc/core/Visitor.js") as { Visitor: { prototype: Visitor } }).Visitor.prototype);

const folders = ["src", "scripts", "test", "bench"];
const files = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`));
const { output } = await cruise(folders, { ...options, ruleSet: { forbidden }, validate: true });
const { modules, summary } = output as ICruiseResult;

const read = new Set(modules.map((module) => module.source));
const unread = files.filter((file) => !read.has(file));
const edges = modules.reduce((sum, module) => sum + module.dependencies.length, 0);
for (const { rule, from, to } of summary.violations) console.error(`${rule.name}: ${from} imports ${to}`);
for (const file of unread) console.error(`not read by dependency-cruiser: ${file}`);
console.log(`${files.length} files, ${edges} imports, ${summary.violations.length} violations`);
if (files.length === 0 || edges === 0 || unread.length > 0 || summary.violations.length > 0) process.exitCode = 1;

/** swc parses `using`, but the visitor that comes with it stops there. */
function teachUsing(visitor: Visitor): void {
  const visitStatement = visitor.visitStatement;
  visitor.visitStatement = function (this: Visitor, statement: Statement): Statement {
    if (statement.type !== "UsingDeclaration") return visitStatement.call(this, statement);
    this.visitVariableDeclarators(statement.decls ?? []);
    return statement;
  };
}
