import assert from "node:assert/strict";
import { test } from "node:test";
import { promisesToLast } from "./lasting.ts";

test("what is made, named and changed is to last; removals, looks and what concerns processes are not", () => {
  const lasts = (method: "GET" | "POST" | "PUT" | "DELETE", path: string): boolean => promisesToLast({ method, path });
  for (const path of ["/containers/create", "/containers/{name...}/rename", "/containers/{name...}/update", "/commit", "/images/load", "/images/create", "/images/{name...}/tag", "/volumes/create", "/networks/create", "/networks/{id}/connect"]) assert.ok(lasts("POST", path), path);
  for (const path of ["/containers/{name...}/start", "/containers/{name...}/wait", "/containers/{name...}/exec", "/exec/{id}/start", "/containers/prune", "/auth"]) assert.ok(!lasts("POST", path), path);
  assert.ok(!lasts("DELETE", "/containers/{name...}") && !lasts("GET", "/containers/json"));
  assert.ok(lasts("PUT", "/volumes/{name...}"));
});
