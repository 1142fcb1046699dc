import assert from "node:assert/strict";
import { test } from "node:test";
import { type UpdateRequest, updateRequestSchema } from "../../core/container-config.ts";
import { zero } from "../../lib/schema.ts";
import { createContainer } from "./create.ts";
import { fakeContext, request, running } from "./testing/context.ts";
import { updateContainer } from "./update.ts";

const device = (PathOnHost: string, PathInContainer: string, CgroupPermissions = "rwm") => ({ PathOnHost, PathInContainer, CgroupPermissions });

async function world(hostConfig: Parameters<typeof request>[1] = {}) {
  const context = fakeContext();
  const { id } = await createContainer(context, { ...request({}, hostConfig), name: "one" });
  const record = context.store.find(id);
  const ruled: number[] = [];
  context.tasks.update = async (_, { devices }) => void ruled.push(devices?.length ?? 0);
  const paths = (): string[] => (record.hostConfig.Devices ?? []).map(({ PathInContainer }) => PathInContainer);
  return { context, record, ruled, paths, update: (given: Partial<UpdateRequest>) => updateContainer(context, "one", { ...zero(updateRequestSchema), ...given }) };
}

test("rules first, then a node for each device of a folder; what goes has its node taken away before", async () => {
  const { context, record, ruled, paths, update } = await world();
  running(record, 1n);
  await update({ DeviceAdd: [device("/dev/null", "/dev/other/"), device("/dev/folder", "", "")] });
  const first = ruled[0]!;
  assert.deepEqual([context.live, ruled, paths()], [["+/dev/other", "+/dev/folder/a"], [first, first + 1], ["/dev/other", "/dev/folder"]]);
  await update({ DeviceRemove: ["/dev/folder/"] });
  assert.deepEqual([context.live.slice(2), ruled.at(-1), paths()], [["-/dev/folder/a", "-device /dev/folder/a"], first, ["/dev/other"]]);
  assert.deepEqual(context.emitted.filter(({ action }) => action === "update").length, 2);
});

test("when one cannot be added, nothing of it is left, nor of those before it", async () => {
  const { context, record, paths, update } = await world();
  running(record, 1n);
  const { add } = context.liveMounts;
  context.liveMounts.add = async (container, mount) => (mount.destination === "/dev/b" ? Promise.reject(new Error("not a folder")) : add(container, mount));
  await assert.rejects(update({ DeviceAdd: [device("/dev/null", "/dev/a"), device("/dev/null", "/dev/b")] }), { code: "system", message: `Cannot update container ${record.id}: the device /dev/b: not a folder` });
  assert.deepEqual([context.live, paths()], [["+/dev/a", "-/dev/a", "-device /dev/a"], []]);
});

test("one that does not run only has them written down; where others make groups it is refused while it runs", async () => {
  const { context, record, paths, update } = await world();
  context.settings.cgroupDriver = "systemd";
  await update({ DeviceAdd: [device("/dev/null", "/dev/a")] });
  assert.deepEqual([context.live, paths()], [[], ["/dev/a"]]);
  running(record, 1n);
  await assert.rejects(update({ DeviceRemove: ["/dev/a"] }), { code: "not-implemented" });
  assert.deepEqual(paths(), ["/dev/a"]);
});
