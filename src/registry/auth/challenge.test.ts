import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChallenges } from "./challenge.ts";

const plain = (header: string): unknown => parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }]);

test("challenges: quoted, bare, several, and what is none", () => {
  assert.deepEqual(plain('Bearer realm="https://a/token?x=1,2",service=s,scope="repository:a:pull,push"'), [["bearer", { realm: "https://a/token?x=1,2", service: "s", scope: "repository:a:pull,push" }]]);
  assert.deepEqual(plain('BASIC Realm="a \\"b\\""'), [["basic", { realm: 'a "b"' }]]);
  assert.deepEqual(plain('Negotiate, Basic realm="x", Bearer realm="y" , error = "z"'), [["negotiate", {}], ["basic", { realm: "x" }], ["bearer", { realm: "y", error: "z" }]]);
  assert.deepEqual(plain(""), []);
  assert.deepEqual(plain('Bearer realm="unfinished'), [["bearer", {}]]);
  assert.deepEqual(parseChallenges('Bearer __proto__="x"')[0]?.parameters["__proto__"], "x");
});

test("a hostile header is read up to a limit", () => {
  for (const header of ['Bearer a="'.padEnd(100_000, "\\"), "Bearer ".padEnd(100_000, ","), "a=".repeat(50_000), "Basic ".repeat(20_000)]) assert.ok(parseChallenges(header).length < 3000);
});
