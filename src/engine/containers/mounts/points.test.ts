import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyHostConfig } from "../../../core/container-config.ts";
import type { HostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { notFound } from "../../../lib/errors.ts";
import { resolveMountPoints } from "./points.ts";

const other = { mounts: [{ type: "bind", source: "/src", destination: "/from", mode: "ro", rw: true, propagation: "rprivate", bind: { readOnly: false, nonRecursive: false, readOnlyNonRecursive: false, readOnlyForceRecursive: false, createSource: true } }] } as unknown as ContainerRecord;

const plan = (hostConfig: Partial<HostConfig>, { implied = null, readOnlyNonRecursive = false }: { implied?: Record<string, unknown> | null; readOnlyNonRecursive?: boolean } = {}) =>
  resolveMountPoints({ ...emptyHostConfig(), ...hostConfig }, implied, {
    checkVolume: async ({ driver }) => {
      if (driver === "nosuch") throw notFound("no such driver");
    },
    findContainer: (ref) => {
      if (ref === "other") return other;
      throw notFound(`No such container: ${ref}`);
    },
    resolveImage: async (ref) => {
      throw notFound(`No such image: ${ref}:latest`);
    },
    dataRoot: "/var/lib/gantry",
    readOnlyNonRecursive,
  });
const points = async (hostConfig: Partial<HostConfig>, readOnlyNonRecursive = false) => (await plan(hostConfig, { readOnlyNonRecursive })).points;
const mount = (fields: object) => [{ Type: "", Source: "", Target: "", ReadOnly: false, Consistency: "", BindOptions: null, VolumeOptions: null, ImageOptions: null, TmpfsOptions: null, ClusterOptions: null, ...fields }];

test("binds, mounts and other containers' binds, by destination", async () => {
  const found = await points({ Binds: ["/etc/:/z/:ro"], Mounts: mount({ Type: "tmpfs", Target: "/a" }), VolumesFrom: ["other:ro"] });
  assert.deepEqual(found.map(({ type, source, destination, rw, mode }) => [type, source, destination, rw, mode]), [
    ["tmpfs", "", "/a", true, ""],
    ["bind", "/src", "/from", false, ""],
    ["bind", "/etc", "/z", false, "ro"],
  ]);
  assert.equal(found[2]?.bind?.createSource, true);
});

test("a bind replaces what another container brings, two requests for one place are refused", async () => {
  assert.equal((await points({ Binds: ["/mine:/from"], VolumesFrom: ["other"] }))[0]?.source, "/mine");
  await assert.rejects(points({ Binds: ["/a:/x", "/b:/x/"] }), { code: "invalid-parameter", message: "Duplicate mount point: /x" });
  await assert.rejects(points({ Binds: ["/a:/x"], Tmpfs: { "/x": "" } }), { message: "Duplicate mount point: /x" });
  await assert.rejects(points({ Binds: ["/a:/x"], Mounts: mount({ Type: "tmpfs", Target: "/x/" }) }), { message: "Duplicate mount point: /x/" });
  await assert.rejects(points({ VolumesFrom: ["none"] }), { code: "invalid-parameter", message: "No such container: none" });
  await assert.rejects(points({ Mounts: mount({ Type: "image", Source: "none", Target: "/x" }) }), { code: "not-found", message: "No such image: none:latest" });
});

test("binds of the engine's own folders get slave propagation", async () => {
  assert.deepEqual((await points({ Binds: ["/var/lib/gantry/x:/a", "/var:/b", "/srv:/c"] })).map(({ propagation }) => propagation), ["rslave", "rslave", "rprivate"]);
  await assert.rejects(points({ Binds: ["/var:/b:rprivate"] }), /must use either propagation mode "rslave" or "rshared"/);
});

test("older API versions leave what is below a read-only bind writable", async () => {
  assert.equal((await points({ Binds: ["/a:/x:ro"] }, true))[0]?.bind?.readOnlyNonRecursive, true);
  assert.equal((await points({ Binds: ["/a:/x:ro"] }))[0]?.bind?.readOnlyNonRecursive, false);
  assert.equal((await points({ Binds: ["/a:/x"] }, true))[0]?.bind?.readOnlyNonRecursive, false);
});

test("volumes are wanted by name, with what is asked of a new one", async () => {
  const options = { NoCopy: true, Labels: { a: "b" }, Subpath: "sub", DriverConfig: { Name: "local", Options: { type: "tmpfs" } } };
  const { points: found, volumes } = await plan({ Binds: ["vol:/x", "two:/y:ro,nocopy"], Mounts: [...mount({ Type: "volume", Source: "three", Target: "/z", ReadOnly: true, VolumeOptions: options }), ...mount({ Type: "volume", Target: "/anonymous" })] });
  assert.deepEqual(found.map(({ type, name, destination, mode, rw, volume }) => [type, name, destination, mode, rw, volume]), [
    ["volume", undefined, "/anonymous", "z", true, { anonymous: true, subpath: "" }],
    ["volume", "vol", "/x", "z", true, { anonymous: false, subpath: "" }],
    ["volume", "two", "/y", "ro,nocopy", false, { anonymous: false, subpath: "" }],
    ["volume", "three", "/z", "z", false, { anonymous: false, subpath: "sub" }],
  ]);
  assert.deepEqual(found.map((point) => volumes.get(point)), [
    { name: "", driver: "", labels: null, options: null, copy: true, implied: false },
    { name: "vol", driver: "", labels: null, options: null, copy: true, implied: false },
    { name: "two", driver: "", labels: null, options: null, copy: false, implied: false },
    { name: "three", driver: "local", labels: { a: "b" }, options: { type: "tmpfs" }, copy: false, implied: false },
  ]);
  await assert.rejects(points({ Binds: ["vol:/x"], VolumeDriver: "nosuch" }), { code: "not-found" });
});

test("an anonymous volume with labels is marked as such among them", async () => {
  const options = { NoCopy: false, Labels: { a: "b" }, Subpath: "", DriverConfig: null };
  const { volumes } = await plan({ Mounts: mount({ Type: "volume", Target: "/x", VolumeOptions: options }) });
  assert.deepEqual([...volumes.values()][0]?.labels, { a: "b", "com.docker.volume.anonymous": "" });
});

test("volumes of the image and the configuration, where nothing else is asked for", async () => {
  const { points: found, volumes } = await plan({ Binds: ["/a:/bind"], Tmpfs: { "/tmpfs": "" }, VolumesFrom: ["other"] }, { implied: { "/bind": {}, "/tmpfs/": {}, "/from": {}, "/own/": {}, "/own": {}, "/../etc": {}, relative: {} } });
  assert.deepEqual(found.map(({ type, destination, mode }) => [type, destination, mode]), [
    ["volume", "/etc", ""],
    ["volume", "/own", ""],
    ["bind", "/bind", ""],
    ["bind", "/from", ""],
    ["volume", "relative", ""],
  ].sort(([, a], [, b]) => (a! < b! ? -1 : 1)));
  assert.equal(volumes.size, 3);
  assert.ok([...volumes.values()].every(({ implied, name }) => implied && name === ""));
});

test("another container's volumes are the same volumes", async () => {
  const point = { type: "volume", name: "v", driver: "local", source: "/volumes/v", destination: "/v", mode: "z", rw: true, propagation: "", volume: { anonymous: true, subpath: "" } };
  (other.mounts as unknown[]).push(point);
  try {
    const { points: found, volumes } = await plan({ VolumesFrom: ["other:ro"] });
    assert.deepEqual(found.find(({ name }) => name === "v"), { ...point, mode: "", rw: false });
    assert.equal(volumes.size, 0);
  } finally {
    other.mounts.pop();
  }
});
