import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyHostConfig } from "../../../core/container-config.ts";
import type { HostConfig } from "../../../core/container-config.ts";
import { inStartOrder } from "./start-order.ts";

function order(containers: Record<string, Partial<HostConfig>>): string {
  const records = Object.entries(containers).map(([id, hostConfig]) => ({ id, hostConfig: { ...emptyHostConfig(), ...hostConfig } }));
  return inStartOrder(records, (ref) => records.find(({ id }) => id === ref)).map(({ id }) => id).join(" ");
}

test("what is joined and linked comes first, the rest stays as it is", () => {
  assert.equal(order({ a: {}, b: {} }), "a b");
  assert.equal(order({ net: { NetworkMode: "container:ipc" }, link: { Links: ["net:alias"] }, ipc: { IpcMode: "container:pid" }, pid: {}, other: { PidMode: "container:nosuch" } }), "pid ipc net link other");
  assert.equal(order({ c: {}, b: { Links: ["/a:/b/a"] }, a: {} }), "c a b");
});

test("a circle ends", () => {
  assert.equal(order({ a: { PidMode: "container:b" }, b: { PidMode: "container:a" } }), "b a");
});
