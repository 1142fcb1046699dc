import assert from "node:assert/strict";
import { test } from "node:test";
import { allDevices, devicesAt } from "./device-nodes.ts";

test("one device, a folder of devices, what is none", () => {
  const [device, ...rest] = devicesAt("/dev/null");
  assert.deepEqual([device?.path, device?.type, device?.major, device?.minor, rest], ["/dev/null", "c", 1, 3, []]);
  assert.ok(devicesAt("/dev").some(({ path }) => path === "/dev/zero"));
  assert.deepEqual(devicesAt("/etc/passwd"), []);
  assert.throws(() => devicesAt("/dev/no-such-device"), { message: "no such file or directory" });
});

test("all devices but terminals of others", () => {
  const paths = allDevices().map(({ path }) => path);
  assert.ok(paths.includes("/dev/null"));
  assert.deepEqual(paths.filter((path) => path.startsWith("/dev/pts/") || path === "/dev/console" || path === "/dev/ptmx"), []);
});
