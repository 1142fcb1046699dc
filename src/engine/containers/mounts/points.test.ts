import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyHostConfig } from "../../../core/container-config.ts";
import type { HostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { notFound } from "../../../lib/errors.ts";
import { resolveMountPoints } from "./points.ts";

const other = { mounts: [{ type: "bind", source: "/src", destination: "/from", mode: "ro", rw: true, propagation: "rprivate", bind: { readOnly: false, nonRecursive: false, readOnlyNonRecursive: false, readOnlyForceRecursive: false, createSource: true } }] } as unknown as ContainerRecord;

const points = (hostConfig: Partial<HostConfig>, readOnlyNonRecursive = false) =>
  resolveMountPoints({ ...emptyHostConfig(), ...hostConfig }, {
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

test("volume names are judged before volumes are refused", async () => {
  await assert.rejects(points({ Binds: ["a:/x"] }), { code: "invalid-parameter", message: "create a: volume name is too short, names should be at least two alphanumeric characters" });
  await assert.rejects(points({ Binds: ["vol:/x"], VolumeDriver: "nosuch" }), { code: "not-found", message: 'create vol: error looking up volume plugin nosuch: plugin "nosuch" not found' });
  await assert.rejects(points({ Binds: ["vol:/x"] }), { code: "not-implemented" });
});
