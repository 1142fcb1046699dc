import assert from "node:assert/strict";
import { test } from "node:test";
import { matchPath } from "./path-match.ts";

test("patterns match as Go's path.Match does", () => {
  const cases: [string, string, boolean][] = [
    ["abc", "abc", true],
    ["*", "abc", true],
    ["*c", "abc", true],
    ["a*", "a", true],
    ["a*", "ab/c", false],
    ["a*/b", "abc/b", true],
    ["a*b*c*d*e*/f", "axbxcxdxe/f", true],
    ["a*b?c*x", "abxbbxdbxebxczzx", true],
    ["ab[c]", "abc", true],
    ["ab[b-d]", "abc", true],
    ["ab[e-g]", "abc", false],
    ["ab[^c]", "abc", false],
    ["ab[^e-g]", "abc", true],
    ["a\\*b", "a*b", true],
    ["a\\*b", "ab", false],
    ["a[^a]b", "a☺b", true],
    ["a?b", "a☺b", true],
    ["a?b", "a/b", false],
    ["[\\]a]", "]", true],
    ["[\\-]", "-", true],
    ["[x\\-]", "z", false],
    ["[]a]", "]", false],
    ["[", "a", false],
    ["[^", "a", false],
    ["a[", "a", false],
    ["\\", "a", false],
    ["*x", "xxx", true],
    ["parity-l*", "parity-labels", true],
    ["docker.io/*/x", "docker.io/library/x", true],
    ["a.c", "abc", false],
    ["a|b", "a", false],
  ];
  for (const [pattern, text, expected] of cases) assert.equal(matchPath(pattern, text), expected, `${pattern} ${text}`);
});
