import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "./fast-check.testing.ts";
import { parseStrictJson } from "./strict-json.ts";

const parse = (text: string, most = 1 << 20): unknown => parseStrictJson(Buffer.from(text), most);

test("JSON without surprises is read as JSON.parse does", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      const text = JSON.stringify(value, null, 1);
      assert.deepEqual(parse(text), JSON.parse(text));
    }),
  );
});

test("duplicate keys, depth, size and bad text are refused", () => {
  const cases: [text: string, expected: RegExp][] = [
    ['{"a":1,"a":2}', /"a" twice/],
    ['{"a":1,"\\u0061":2}', /"a" twice/],
    ['{"x":{"a":1,"b":[{"c":1},{"c":1}],"a" :2}}', /"a" twice/],
    ["[".repeat(65) + "]".repeat(65), /deeper than 64/],
    ['{"a":'.repeat(1_000_000), /deeper than 64|larger/],
    ['{"a"', /invalid JSON/],
    ['"', /invalid JSON/],
    ['{"a":1}}', /invalid JSON/],
    ["", /invalid JSON/],
  ];
  for (const [text, expected] of cases) assert.throws(() => parse(text, 1 << 23), expected, text.slice(0, 40));
  assert.throws(() => parse('{"a":1}', 6), /larger than 6/);
  assert.throws(() => parseStrictJson(Buffer.from([0x22, 0xff, 0x22]), 10), /not UTF-8/);
  assert.deepEqual(parse('[{"a":"{\\"a\\":1,\\"a\\":2}"},{"a":[]}]'), [{ a: '{"a":1,"a":2}' }, { a: [] }]);
});
