import assert from "node:assert/strict";
import { test } from "node:test";
import { updateRequestSchema } from "../../core/container-config.ts";
import type { UpdateRequest } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { parseFilters } from "../../lib/filters.ts";
import type { OciResources } from "../../lib/oci-spec.ts";
import { zero } from "../../lib/schema.ts";
import { createContainer } from "./create.ts";
import { pruneContainers } from "./prune.ts";
import { removeContainer, removeLeftovers } from "./remove.ts";
import { renameContainer } from "./rename.ts";
import { fakeContext, request, running } from "./testing/context.ts";
import { updateContainer } from "./update.ts";

async function one(hostConfig: Parameters<typeof request>[1] = {}) {
  const context = fakeContext();
  const { id } = await createContainer(context, { ...request({ Labels: { a: "1" } }, hostConfig), name: "one" });
  context.emitted.length = 0;
  return { context, record: context.store.find(id) };
}
const actions = (context: { emitted: { action: string }[] }) => context.emitted.map(({ action }) => action);

test("rename", async () => {
  const { context, record } = await one();
  await createContainer(context, { ...request(), name: "taken" });
  await renameContainer(context, "one", "/two");
  assert.equal(context.store.find("two"), record);
  assert.deepEqual(context.emitted.at(-1)?.actor.attributes, { a: "1", image: "image", name: "two", oldName: "/one" });
  for (const [name, code, message] of [
    ["", "invalid-parameter", "Neither old nor new names may be empty"],
    ["two", "invalid-parameter", "Renaming a container with the same name as its current name"],
    ["a b", "invalid-parameter", "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
    ["taken", "conflict", /^Error when allocating new name: Conflict\. The container name "\/taken" is already in use by container "/],
  ] as const) {
    await assert.rejects(renameContainer(context, "two", name), { code, message });
  }
});

test("renamed while it runs, a container shows its names on the default network", async () => {
  const { context, record } = await one();
  await renameContainer(context, "one", "two");
  assert.equal(record.networkingConfig.EndpointsConfig?.["bridge"]?.DNSNames ?? null, null);
  const endpoint = { networkName: "bridge", networkId: "n", endpointId: "e", ipAddress: "", prefixLength: 0, gateway: "", ipv6Address: "", ipv6PrefixLength: 0, ipv6Gateway: "", macAddress: "" };
  record.network = { sandboxId: "s", endpoints: [endpoint] };
  await renameContainer(context, "two", "three");
  assert.deepEqual(record.networkingConfig.EndpointsConfig?.["bridge"]?.DNSNames?.slice(0, 2), ["three", record.id.slice(0, 12)]);
});

test("remove: running ones only by force", async () => {
  const { context, record } = await one();
  context.store.save(running(record, 1n));
  await assert.rejects(removeContainer(context, "one", { force: false, link: false, volumes: false }), { code: "conflict", message: 'cannot remove container "one": container is running: stop the container before removing or force remove' });
  record.state = { status: "paused", pid: 1, startedAt: 1n };
  await assert.rejects(removeContainer(context, "one", { force: false, link: false, volumes: false }), { message: 'cannot remove container "one": container is paused and must be unpaused first' });
  await assert.rejects(removeContainer(context, "one", { force: false, link: true, volumes: false }), { code: "system", message: "Conflict, cannot remove the default link name of the container" });
  await removeContainer(context, "one", { force: true, link: false, volumes: false });
  assert.deepEqual([context.killed, context.removedLayers, context.store.size], [[record.id], [record.id], 0]);
  assert.deepEqual(actions(context), ["destroy"]);
});

test("remove: two at once, one that fails, one that a crash cut off", async () => {
  const { context, record } = await one();
  let finish = (): void => {};
  context.layers.remove = () => new Promise((resolve) => (finish = resolve));
  const first = removeContainer(context, "one", { force: false, link: false, volumes: false });
  await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(removeContainer(context, "one", { force: true, link: false, volumes: false }), { code: "conflict", message: "removal of container one is already in progress" });
  finish();
  await first;

  const failing = await one();
  failing.context.layers.remove = async () => {
    throw new Error("busy");
  };
  await assert.rejects(removeContainer(failing.context, "one", { force: false, link: false, volumes: false }), { message: 'cannot remove container "one": busy' });
  assert.equal(failing.record.state.status, "dead");
  failing.context.layers.remove = async () => {};
  await removeContainer(failing.context, "one", { force: false, link: false, volumes: false });

  const crashed = await one();
  crashed.record.state = { status: "removing" };
  await removeLeftovers(crashed.context);
  assert.equal(crashed.context.store.size, 0);
  assert.equal(record.state.status, "removing");
});

test("remove: a full disk is no obstacle once the layer's files are gone", async (t) => {
  const { context, record } = await one();
  t.mock.method(context.store, "save", () => {
    throw new Error("database or disk is full");
  });
  const remove = context.store.remove.bind(context.store);
  let full = 2;
  t.mock.method(context.store, "remove", (gone: ContainerRecord) => {
    if (full-- > 0) throw new Error("database or disk is full");
    remove(gone);
  });
  await removeContainer(context, "one", { force: false, volumes: false, link: false });
  assert.equal(context.store.get(record.id), undefined);
  assert.deepEqual(actions(context), ["destroy"]);
});

test("prune: by label and age, never what runs", async () => {
  const { context } = await one();
  const second = await createContainer(context, request({ Labels: { a: "2" } }));
  const prune = async (filters: object, until?: bigint) => {
    const report = await pruneContainers(context, { filters: parseFilters(JSON.stringify(filters)), until, signal: new AbortController().signal });
    return report.deleted;
  };
  assert.deepEqual(await prune({ label: ["b"] }), []);
  assert.deepEqual(await prune({}, 1n), []);
  assert.deepEqual(await prune({ "label!": ["a=1"] }), [second.id]);
  context.store.save(running(context.store.find("one"), 1n));
  assert.deepEqual(await prune({}), []);
  assert.equal(context.emitted.at(-1)?.actor.attributes["reclaimed"], "0");
});

const update = (fields: Partial<UpdateRequest>): UpdateRequest => ({ ...zero(updateRequestSchema), ...fields });

test("update: only what is given changes, also of what runs", async () => {
  const { context, record } = await one({ Memory: 64 << 20, CpuShares: 5 });
  const applied: OciResources[] = [];
  context.tasks.update = async (_: ContainerRecord, resources) => void applied.push(resources);
  await updateContainer(context, "one", update({ RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } }));
  assert.deepEqual([record.hostConfig.RestartPolicy.Name, record.hostConfig.CpuShares, applied.length], ["on-failure", 5, 0]);
  context.store.save(running(record, 1n));
  assert.deepEqual(await updateContainer(context, "one", update({ Memory: 32 << 20, PidsLimit: 0 })), []);
  assert.deepEqual(applied, [{ pids: { limit: -1 }, memory: { limit: 32 << 20 } }]);
  assert.deepEqual([record.hostConfig.Memory, record.hostConfig.MemorySwap, record.hostConfig.CpuShares], [32 << 20, 128 << 20, 5]);
  assert.deepEqual(actions(context), ["update", "update"]);
});

test("update: refusals, and a failure changes nothing", async () => {
  const { context, record } = await one({ Memory: 64 << 20, NanoCpus: 5e8 });
  await assert.rejects(updateContainer(context, "one", update({ Memory: 1000 })), { code: "invalid-parameter", message: "Minimum memory limit allowed is 6MB" });
  await assert.rejects(updateContainer(context, "one", update({ CpuPeriod: 50000 })), { code: "conflict", message: `Cannot update container ${record.id}: Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set` });
  await assert.rejects(updateContainer(context, "one", update({ Memory: 1 << 28 })), { code: "conflict", message: `Cannot update container ${record.id}: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time` });
  await assert.rejects(updateContainer(context, "one", update({ Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }] })), { message: "Ulimits of a container cannot be changed by an update" });
  context.store.save(running(record, 1n));
  context.tasks.update = async () => {
    throw new Error("EBUSY");
  };
  await assert.rejects(updateContainer(context, "one", update({ CpuShares: 7 })), { message: `Cannot update container ${record.id}: EBUSY` });
  assert.equal(record.hostConfig.CpuShares, 0);
});
