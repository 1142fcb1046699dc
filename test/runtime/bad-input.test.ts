/** A bad configuration gives an error that names the field, exit code 1, and leaves nothing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Bundle, skip } from "./bundle.ts";

/** Beside the checkout, where the reference material is kept; it is no part of the project. */
const fixtures = join(import.meta.dirname, "../../../shared/reference/oci-runtime/fixtures/config/bad");

function refuses(bundle: Bundle, json: string, field: RegExp): void {
  writeFileSync(join(bundle.folder, "config.json"), json);
  const { status, stderr } = bundle.runtime("run", bundle.id);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /^time="[^"]+" level=error msg="[\w-]+ run failed: /m);
  assert.match(stderr, field);
  assert.deepEqual(bundle.groups(), []);
  const state = join(bundle.folder, "state");
  assert.deepEqual(existsSync(state) ? readdirSync(state) : [], []);
}

test("the specification's bad configurations", { skip: skip || (existsSync(fixtures) ? false : `no ${fixtures} here`) }, () => {
  using bundle = new Bundle();
  const fields: Record<string, RegExp> = { "invalid-json.json": /not JSON/, "linux-hugepage.json": /linux\.resources\.hugepageLimits\[0\]\.pageSize/, "linux-netdevice.json": /linux\.netDevices\.eth0\.name/, "linux-rdma.json": /linux\.resources\.rdma\.mlx5_1\.hcaHandles/ };
  for (const name of readdirSync(fixtures)) refuses(bundle, readFileSync(join(fixtures, name), "utf8"), fields[name] ?? /process is missing/);
});

test("what only the machine finds out", { skip }, () => {
  using bundle = new Bundle();
  const base = JSON.parse(readFileSync(join(bundle.folder, "config.json"), "utf8")) as { root: object; mounts: object[]; linux: { resources: object }; process: object };
  const changed: [object, RegExp][] = [
    [{ root: { path: "nowhere" } }, /root\.path: invalid rootfs/],
    [{ mounts: [...base.mounts, { destination: "/m", type: "nofs", source: "x" }] }, new RegExp(`mounts\\[${base.mounts.length}\\]\\): fsopen: no such device`)],
    [{ mounts: [...base.mounts, { destination: "/m", type: "tmpfs", source: "x", options: ["size=many"] }] }, /mounts\[\d+\]\): fsconfig \\"size\\"/],
    [{ process: { ...base.process, args: ["/none"] } }, /exec: \\"\/none\\"/],
    [{ process: { ...base.process, cwd: "/bin/busybox" } }, /cwd/],
    [{ linux: { ...base.linux, devices: [{ path: "/dev/x", type: "c", major: -5, minor: 1 }] } }, /linux\.devices\[0\]\.major -5/],
    [{ linux: { ...base.linux, sysctl: { "net.ipv4.no_such": "1" } } }, /sysctl \\"net\/ipv4\/no_such\\"/],
    [{ linux: { ...base.linux, resources: { ...base.linux.resources, cpu: { period: 1 } } } }, /cpu\.(cfs_period_us|max)/],
    [{ hooks: { createRuntime: [{ path: "/no/hook" }] } }, /error running createRuntime hook #0: \/no\/hook: exit status 127/],
  ];
  for (const [change, field] of changed) refuses(bundle, JSON.stringify({ ...base, ...change }), field);
});
