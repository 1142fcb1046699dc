import assert from "node:assert/strict";
import { test } from "node:test";
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { serve } from "../testing/harness.ts";
import { lifecycleRoutes } from "./lifecycle.ts";

test("wait is answered when attached clients have received what the container printed", async () => {
  const receipt = Promise.withResolvers<void>();
  const record = { id: "a", state: { status: "exited", exitCode: 3, error: "" } };
  const context = { store: { find: () => record }, live: () => ({ receipts: new Set([() => receipt.promise]) }) };
  await using api = await serve(lifecycleRoutes(context as unknown as LifecycleContext, { experimental: false }));
  let answered = false;
  const answer = api.request("POST /containers/a/wait HTTP/1.1\nHost: x\nContent-Length: 0").finally(() => (answered = true));
  // Another request on the way there and back: the first has been looked at.
  await api.request("POST /containers/a/wait?condition=nosuch HTTP/1.1\nHost: x\nContent-Length: 0");
  assert.equal(answered, false);
  receipt.resolve();
  assert.match(await answer, /"StatusCode":3/);
});
