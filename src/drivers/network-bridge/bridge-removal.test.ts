/** Bridges that go at the same time: together where they can, each for itself where one of them is gone already. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeMachine } from "../../sys/netlink/fake.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { cannotUnshare, createSandboxNamespace } from "../../sys/netlink/namespace.testing.ts";
import { createBridgeRemoval } from "./bridge-removal.ts";

async function bridges(kernel: NetworkKernel, count: number): Promise<number[]> {
  for (let number = 0; number < count; number++) await kernel.apply([{ op: "addBridge", name: `red${number}` }]);
  return (await kernel.links()).filter(({ kind }) => kind === "bridge").map(({ index }) => index);
}

test("the first goes alone, the others in groups; what is gone already is no failure", async () => {
  const { host } = new FakeMachine();
  const indexes = await bridges(host, 7);
  const { remove } = createBridgeRemoval(host);
  await Promise.all([...indexes, 4711].map(remove));
  assert.deepEqual(host.state.links.map(({ name }) => name), ["lo"]);
  assert.equal(host.done.filter((change) => change.startsWith("delete links of group")).length, 1);
  host.failure = (change) => ("op" in change && change.op === "deleteLink" ? "EPERM" : undefined);
  const [left = 0] = await bridges(host, 1);
  await assert.rejects(remove(left), /EPERM|delete link/);
});

test("the kernel deletes those of a group, and no others", { skip: cannotUnshare }, async () => {
  using namespace = await createSandboxNamespace();
  const kernel = openNetworkKernel(namespace.fd);
  const [stays = 0, ...go] = await bridges(kernel, 6);
  const { remove } = createBridgeRemoval(kernel);
  await Promise.all(go.map(remove));
  assert.deepEqual((await kernel.links()).flatMap(({ index, kind }) => (kind === "bridge" ? [index] : [])), [stays]);
  kernel.close();
});
