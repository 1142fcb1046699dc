import assert from "node:assert/strict";
import { test } from "node:test";
import { clientRegExp } from "./client-regexp.ts";

test("expressions of Go's: flags at the beginning, named groups, classes of Unicode; what is none is refused", () => {
  assert.equal(clientRegExp("^web-\\d+$").test("web-12"), true);
  assert.equal(clientRegExp("(?i)^WEB").test("web"), true);
  assert.equal(clientRegExp("(?P<name>a)b").exec("ab")?.groups?.["name"], "a");
  assert.equal(clientRegExp("^\\p{L}$").test("é"), true);
  for (const wrong of ["[", "(", "a{2,1}", "\\Y", "*"]) assert.throws(() => clientRegExp(wrong), SyntaxError, wrong);
});

test("an expression that could take for ever does not", () => {
  assert.equal(clientRegExp("^(a+)+$").test(`${"a".repeat(60)}!`), false);
  assert.equal(clientRegExp("^(\\w+\\s?)*$").test(`${"aaaa ".repeat(30)}!`), false);
});
