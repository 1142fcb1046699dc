import assert from "node:assert/strict";
import { test } from "node:test";
import { createRequestSchema } from "../../core/container-config.ts";
import { fc } from "../../lib/fast-check.testing.ts";
import { print, zero } from "../../lib/schema.ts";
import { decode } from "./decode.ts";
import { JsonNumber, JsonObject, parseJson } from "./json-tree.ts";
import type { Json } from "./json-tree.ts";

function plain(json: Json): unknown {
  if (json instanceof JsonNumber) return Number(json.digits);
  if (Array.isArray(json)) return json.map(plain);
  if (json instanceof JsonObject) return Object.fromEntries(json.entries.map(([key, value]) => [key, plain(value)]));
  return json;
}

test("what JSON.parse reads is read the same", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.deepEqual(plain(parseJson(text)), JSON.parse(text));
      assert.deepEqual(plain(parseJson(JSON.stringify(JSON.parse(text), undefined, 1))), JSON.parse(text));
    }),
  );
});

test("any text is read or refused, as JSON.parse does", () => {
  const pieces = fc.array(fc.constantFrom("{", "}", "[", "]", ",", ":", '"a"', "1", "-", "0.5", "1e9", "true", "nul", " ", '"\\u00e9"', '"\\ud800"', '"\n"', "x"), { maxLength: 12 });
  fc.assert(
    fc.property(pieces, (parts) => {
      const text = parts.join("");
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        assert.throws(() => parseJson(text));
        return;
      }
      assert.deepEqual(plain(parseJson(text)), wellFormed(expected));
    }),
    { numRuns: 2000 },
  );
});

/** Not by way of JSON text: that would make null of 1e999, which JSON.parse reads as Infinity. */
function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), wellFormed(item)]));
}

test("a request survives being printed and read", () => {
  const words = fc.option(fc.array(fc.string({ unit: "binary" }), { maxLength: 3 }));
  const labels = fc.option(fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }));
  const changes = fc.record({ Cmd: words, Env: words, Labels: labels, Tty: fc.boolean(), User: fc.string(), StopTimeout: fc.option(fc.integer()) });
  fc.assert(
    fc.property(changes, fc.maxSafeInteger(), (config, memory) => {
      const request = { ...zero(createRequestSchema), ...config };
      const full = decode(createRequestSchema, parseJson(`${print(createRequestSchema, request).slice(0, -1)},"HostConfig":{"Memory":${memory}}}`));
      assert.equal(full.HostConfig?.Memory, memory);
      assert.deepEqual(decode(createRequestSchema, parseJson(print(createRequestSchema, full))), full);
      assert.deepEqual([full.Cmd, full.Env, full.Tty, full.StopTimeout], [config.Cmd?.map((word) => word.toWellFormed()) ?? null, config.Env?.map((word) => word.toWellFormed()) ?? null, config.Tty, config.StopTimeout]);
    }),
  );
});
