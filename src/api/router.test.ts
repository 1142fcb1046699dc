import assert from "node:assert/strict";
import { test } from "node:test";
import type { Route } from "./route.ts";
import { cleanPath, Router } from "./router.ts";

const route = (method: Route["method"], path: string): Route => ({ method, path, handler: () => {} });
const router = new Router([
  route("GET", "/containers/json"),
  route("GET", "/containers/{name}/json"),
  route("DELETE", "/containers/{name}"),
  route("GET", "/images/{name...}/get"),
  route("GET", "/images/get"),
  route("GET", "/networks/{id...}"),
]);
const found = (method: string, path: string): [string, Record<string, string>] | undefined => {
  const match = router.find(method, path);
  return match && [match.route.path, match.params];
};

test("fixed paths come first, parameters take segments", () => {
  assert.deepEqual(found("GET", "/containers/json"), ["/containers/json", {}]);
  assert.deepEqual(found("GET", "/containers/a%20b/json"), ["/containers/{name}/json", { name: "a b" }]);
  assert.deepEqual(found("DELETE", "/containers/json"), ["/containers/{name}", { name: "json" }]);
  assert.equal(found("GET", "/containers/a/b/json"), undefined);
  assert.equal(found("GET", "/containers/json/more"), undefined);
  assert.equal(found("POST", "/containers/json"), undefined);
});

test("an encoded slash belongs to the value, and spanning parameters take plain ones", () => {
  assert.deepEqual(found("GET", "/containers/a%2Fb/json")?.[1], { name: "a/b" });
  assert.deepEqual(found("GET", "/images/localhost:5000/a/b:1/get"), ["/images/{name...}/get", { name: "localhost:5000/a/b:1" }]);
  assert.deepEqual(found("GET", "/images/get"), ["/images/get", {}]);
  assert.deepEqual(found("GET", "/networks/"), ["/networks/{id...}", { id: "" }]);
});

test("two routes for one path are a mistake", () => {
  assert.throws(() => new Router([route("GET", "/a"), route("GET", "/a")]), TypeError);
});

test("paths are cleaned as Docker redirects them", () => {
  for (const [path, cleaned] of [["//version", "/version"], ["/containers//json", "/containers/json"], ["/containers/../json", "/json"], ["/a/./b/", "/a/b/"], ["/../..", "/"], ["/version/", "/version/"], ["/a..b/.c", "/a..b/.c"]]) {
    assert.equal(cleanPath(path as string), cleaned);
  }
});
