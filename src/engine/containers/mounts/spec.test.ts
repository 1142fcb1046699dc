import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBind, parseVolumesFrom, tmpfsOptions, validateMount } from "./spec.ts";

const empty = { Type: "", Source: "", Target: "", ReadOnly: false, Consistency: "", BindOptions: null, VolumeOptions: null, ImageOptions: null, TmpfsOptions: null, ClusterOptions: null };

test("binds: source, target and mode words", () => {
  const { mount, mode } = parseBind("/etc:/host:ro,rslave,z", "");
  assert.deepEqual([mount.Type, mount.Source, mount.Target, mount.ReadOnly, mount.BindOptions?.Propagation, mode], ["bind", "/etc", "/host", true, "rslave", "ro,rslave,z"]);
  assert.equal(parseBind("name:/v:nocopy", "").mount.VolumeOptions?.NoCopy, true);
  assert.equal(parseBind("/only", "").mount.Type, "volume");
  assert.equal(parseBind("name:/v", "driver").mount.VolumeOptions?.DriverConfig?.Name, "driver");
});

test("malformed binds are refused in Docker's words", () => {
  for (const [bind, message] of [
    ["", "invalid volume specification: ''"],
    ["/a:/b:ro:rw", "invalid volume specification: '/a:/b:ro:rw'"],
    ["/a:rw", "invalid volume specification: '/a:rw'"],
    ["/a:/b:zz", "invalid mode: zz"],
    ["/a:/b:ro,rw", "invalid mode: ro,rw"],
    ["/a:/b/../..", "invalid volume specification: '/a:/b/../..': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"],
    ["n:/b:rshared", "invalid volume specification: 'n:/b:rshared': invalid mount config for type \"volume\": field BindOptions must not be specified"],
  ] as const) {
    assert.throws(() => parseBind(bind, ""), { code: "system", message });
  }
});

test("mounts are refused in Docker's words", () => {
  for (const [mount, message] of [
    [{ Type: "bind", Source: "/etc" }, 'invalid mount config for type "bind": field Target must not be empty'],
    [{ Type: "bind", Source: "/no/such/path", Target: "/x" }, 'invalid mount config for type "bind": bind source path does not exist: /no/such/path'],
    [{ Type: "constructor", Target: "/x" }, 'invalid mount config for type "constructor": mount type unknown'],
    [{ Type: "tmpfs", Target: "/x", TmpfsOptions: { SizeBytes: 0, Mode: 0, Options: [["suid"]] } }, 'invalid mount config for type "tmpfs": invalid option: suid'],
    [{ Type: "volume", Target: "/x", Source: "v", VolumeOptions: { NoCopy: false, Labels: null, Subpath: "a/../../b", DriverConfig: null } }, 'invalid mount config for type "volume": subpath must be a relative path within the volume'],
  ] as const) {
    assert.throws(() => validateMount({ ...empty, ...(mount as object) }), { code: "invalid-parameter", message });
  }
  const makesSource = { Propagation: "", NonRecursive: false, CreateMountpoint: true, ReadOnlyNonRecursive: false, ReadOnlyForceRecursive: false };
  validateMount({ ...empty, Type: "bind", Source: "/no/such/path", Target: "/x", BindOptions: makesSource });
});

test("tmpfs options with the largest unit that divides the size", () => {
  const options = (SizeBytes: number, rest = {}) => tmpfsOptions({ ...empty, Type: "tmpfs", TmpfsOptions: { SizeBytes, Mode: 0, Options: null, ...rest } });
  assert.deepEqual([options(1 << 20), options(1536), options(1000), options(3 * 2 ** 30)], ["size=1m", "size=1536", "size=1000", "size=3g"]);
  assert.equal(options(1024, { Mode: 0o1777, Options: [["exec"]] }), "mode=1777,size=1k,exec");
});

test("volumes-from", () => {
  assert.deepEqual(parseVolumesFrom("c:ro"), { container: "c", readonly: true });
  assert.deepEqual(parseVolumesFrom("c"), { container: "c", readonly: false });
  assert.throws(() => parseVolumesFrom("c:rshared"), { message: "invalid mode: rshared" });
  assert.throws(() => parseVolumesFrom(""), { message: "volumes-from specification cannot be an empty string" });
});
