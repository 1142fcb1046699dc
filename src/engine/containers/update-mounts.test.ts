import assert from "node:assert/strict";
import { test } from "node:test";
import { type UpdateRequest, updateRequestSchema } from "../../core/container-config.ts";
import { zero } from "../../lib/schema.ts";
import { createContainer } from "./create.ts";
import { fakeContext, request, running } from "./testing/context.ts";
import { updateContainer } from "./update.ts";

type MountRequest = NonNullable<UpdateRequest["MountAdd"]>[number];

const volume = (Source: string, Target: string, ReadOnly = false): MountRequest => ({
  Type: "volume", Source, Target, ReadOnly, Consistency: "", BindOptions: null, VolumeOptions: null, ImageOptions: null, TmpfsOptions: null, ClusterOptions: null,
});
const change = (given: Partial<UpdateRequest>): UpdateRequest => ({ ...zero(updateRequestSchema), ...given });

async function world(hostConfig: Parameters<typeof request>[1] = {}) {
  const context = fakeContext();
  const { id } = await createContainer(context, { ...request({}, hostConfig), name: "one" });
  context.emitted.length = 0;
  const record = context.store.find(id);
  const places = (): string[] => record.mounts.map(({ destination }) => destination);
  return { context, record, places, update: (given: Partial<UpdateRequest>) => updateContainer(context, "one", change(given)) };
}

test("a running container gets and loses mounts, its record has them, and the last one to leave lets go of the volume", async () => {
  const { context, record, places, update } = await world({ Binds: ["data:/old"] });
  running(record, 1n);
  await update({ MountAdd: [volume("data", "/b"), volume("more", "/a", true)] });
  assert.deepEqual([context.live, places(), record.hostConfig.Mounts?.length], [["+/a", "+/b"], ["/a", "/b", "/old"], 2]);
  assert.deepEqual(context.emitted.map(({ type, action }) => `${type} ${action}`), ["volume create", "volume mount", "volume mount", "container update"]);
  await update({ MountRemove: ["/old", "/a/"] });
  assert.deepEqual([context.live.slice(2), places(), record.hostConfig.Binds, record.hostConfig.Mounts?.length], [["-/old", "-/a"], ["/b"], [], 1]);
  assert.deepEqual([context.volumes.usersOf("data"), context.volumes.usersOf("more")], [[record.id], []]);
});

test("when one cannot be added, those before it go, and volumes that were made for them", async () => {
  const { context, record, places, update } = await world();
  running(record, 1n);
  const { add } = context.liveMounts;
  context.liveMounts.add = async (container, mount) => (mount.destination === "/b" ? Promise.reject(new Error("not a folder")) : add(container, mount));
  await assert.rejects(update({ MountAdd: [volume("first", "/a"), volume("second", "/b")] }), { code: "system", message: `Cannot update container ${record.id}: the mount at /b: not a folder` });
  assert.deepEqual([context.live, places(), record.hostConfig.Mounts], [["+/a", "-/a"], [], []]);
  assert.deepEqual([context.volumes.usersOf("first"), context.volumes.usersOf("second"), context.volumes.known().map(({ name }) => name)], [[], [], []]);
});

test("one that does not run only has them written down, and what is gone by itself is refused", async () => {
  const { context, record, places, update } = await world();
  await update({ MountAdd: [volume("data", "/a")] });
  assert.deepEqual([context.live, places()], [[], ["/a"]]);
  running(record, 1n);
  context.liveMounts.remove = async () => false;
  await assert.rejects(update({ MountRemove: ["/a"] }), { code: "conflict", message: /nothing is mounted at \/a in the container/ });
  assert.deepEqual(places(), ["/a"]);
});
