import assert from "node:assert/strict";
import { test } from "node:test";
import { createContainer } from "../create.ts";
import { removeContainer } from "../remove.ts";
import { releaseSpec, specForStart } from "../spec/for-start.ts";
import { fakeContext, request } from "../testing/context.ts";
import { mountVolumes, unmountVolumes } from "./volumes.ts";

async function made(hostConfig: Parameters<typeof request>[1], volumes: Record<string, object> | null = null) {
  const context = fakeContext();
  const { id } = await createContainer(context, request({ Volumes: volumes as never }, hostConfig));
  const record = context.store.find(id);
  context.emitted.length = 0;
  const told = () => context.emitted.splice(0).map(({ action, actor }) => [action, actor.id, actor.attributes]);
  return { context, record, told };
}

test("a run mounts its volumes and tells; its end gives them back once", async () => {
  const { context, record, told } = await made({ Binds: ["data:/a:ro", "data:/b", "/etc:/c"], Tmpfs: {} });
  const spec = await specForStart(context, record, {});
  const mountAt = (destination: string) => spec.mounts?.find((mount) => mount.destination === destination);
  assert.deepEqual(mountAt("/a"), { destination: "/a", type: "bind", source: "/volumes/data", options: ["rbind", "rro"] });
  assert.deepEqual(mountAt("/b"), { destination: "/b", type: "bind", source: "/volumes/data", options: ["rbind"] });
  const common = { driver: "local", container: record.id };
  assert.deepEqual(told(), [
    ["mount", "data", { ...common, destination: "/a", "read/write": "false", propagation: "" }],
    ["mount", "data", { ...common, destination: "/b", "read/write": "true", propagation: "" }],
  ]);
  await releaseSpec(context, record);
  await releaseSpec(context, record);
  assert.deepEqual(told(), [["unmount", "data", common], ["unmount", "data", common]]);
});

test("a subpath that is not there is not found; what was mounted before it is given back", async () => {
  const subpath = { Type: "volume", Source: "data", Target: "/b", ReadOnly: false, Consistency: "", BindOptions: null, VolumeOptions: { NoCopy: true, Labels: null, Subpath: "x/y", DriverConfig: null }, ImageOptions: null, TmpfsOptions: null, ClusterOptions: null };
  const { context, record, told } = await made({ Binds: ["data:/a"], Mounts: [subpath] });
  assert.deepEqual([...(await mountVolumes(context, record))], [["/a", "/volumes/data"], ["/b", `/parts/${record.id}/volumes/data/x/y`]]);
  await unmountVolumes(context, record);
  told();
  context.subpaths.make = () => {
    throw Object.assign(new Error("openat2: ENOENT: No such file or directory"), { code: "ENOENT" });
  };
  await assert.rejects(specForStart(context, record, {}), { code: "not-found", message: "cannot access path /volumes/data/x/y: no such file or directory" });
  await releaseSpec(context, record);
  assert.equal(told().filter(([action]) => action === "unmount").length, 2);
});

test("a removal lets go of volumes; anonymous ones go only when that is asked for and nobody else has them", async () => {
  const { context, record } = await made({ Binds: ["named:/a"] }, { "/x": {} });
  const anonymous = record.mounts.find(({ destination }) => destination === "/x")!.name!;
  const heir = await createContainer(context, { ...request({}, { VolumesFrom: [record.id] }), name: "heir" });
  const names = () => context.volumes.known().map(({ name }) => name);
  await removeContainer(context, record.id, { force: false, link: false, volumes: true });
  assert.deepEqual([names().sort(), context.volumes.usersOf(anonymous)], [[anonymous, "named"].sort(), [heir.id]]);
  await removeContainer(context, "heir", { force: false, link: false, volumes: true });
  assert.deepEqual(names(), ["named"]);
  const kept = await made({}, { "/x": {} });
  await removeContainer(kept.context, kept.record.id, { force: false, link: false, volumes: false });
  assert.equal(kept.context.volumes.known().length, 1);
});
