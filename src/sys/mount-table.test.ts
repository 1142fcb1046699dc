import assert from "node:assert/strict";
import { test } from "node:test";
import { mountOf, parseMountInfo } from "./mount-table.ts";

const text = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /tmp rw - tmpfs tmpfs rw
23 21 0:6 / /tmp/a\\040b rw master:3 - tmpfs tmpfs rw
24 22 0:7 / /tmp rw shared:9 master:2 - tmpfs tmpfs rw
`;

test("mountinfo", () => {
  assert.deepEqual(parseMountInfo(text).map(({ mountpoint, isShared, isSlave }) => [mountpoint, isShared, isSlave]), [["/", true, false], ["/tmp", false, false], ["/tmp/a b", false, true], ["/tmp", true, true]]);
});

test("the mount that a path lies on: the longest, of those at one point the last", () => {
  assert.deepEqual(mountOf("/tmp", text), { mountpoint: "/tmp", isShared: true, isSlave: true, type: "tmpfs", source: "tmpfs" });
  assert.equal(mountOf("/etc", text).mountpoint, "/");
  assert.throws(() => mountOf("/no/such/path", text));
});
