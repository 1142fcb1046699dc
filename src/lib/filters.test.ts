import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFilters } from "./filters.ts";

test("both forms, and what is none", () => {
  assert.deepEqual(parseFilters('{"a":{"x":true,"y":false}}').values("a"), ["x"]);
  assert.deepEqual(parseFilters('{"a":["x","x","y"]}').values("a"), ["x", "y"]);
  for (const text of ["", "null", "{}", null]) assert.ok(parseFilters(text).isEmpty);
  for (const text of ["xyz", "[]", '"x"', '{"a":"x"}', '{"a":[1]}', '{"a":["x"],"b":{"y":true}}']) assert.throws(() => parseFilters(text), { message: "invalid filter", code: "invalid-parameter" });
});

test("matching", () => {
  const filters = parseFilters('{"name":["ab"],"label":["k","l=v"],"none":[]}');
  assert.ok(filters.exact("name", "ab") && !filters.exact("name", "abc") && filters.prefix("name", "abc"));
  assert.ok(filters.exact("other", "x") && filters.exact("none", "x"));
  assert.ok(filters.labels("label", { k: "", l: "v" }) && !filters.labels("label", { k: "" }) && !filters.labels("label", { k: "", l: "w" }));
  assert.ok(!parseFilters('{"label":["toString"]}').labels("label", {}));
});

test("keys and switches are checked", () => {
  assert.throws(() => parseFilters('{"nosuch":["x"]}').validate(["name"]), { message: "invalid filter 'nosuch'" });
  assert.equal(parseFilters('{"d":["1"]}').boolean("d"), true);
  assert.equal(parseFilters("").boolean("d"), undefined);
  assert.throws(() => parseFilters('{"d":["1","false"]}').boolean("d"), { message: "invalid filter 'd=[1 false]'" });
});
