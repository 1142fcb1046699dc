import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckSource } from "./check.ts";
import { checkHost, checkRows } from "./check.ts";

const bare: CheckSource = {
  host: {
    architecture: "x86_64",
    kernelRelease: "5.10.0-28-amd64",
    capabilities: 1n << 21n,
    namespaces: new Set(["mnt"]),
    cgroups: { mode: "v2", hierarchies: [{ version: 2, mountpoint: "/sys/fs/cgroup", controllers: ["pids"], ownPath: "/" }], files: new Set(["memory.swap.max"]) },
    apparmor: true,
    selinux: false,
    kcore: false,
  },
  root: false,
  fileSystems: new Set(["proc"]),
  seccompActions: "kill_process errno allow",
  config: (option) => (option === "CONFIG_BRIDGE" ? "m" : option === "CONFIG_NF_TABLES" ? "y" : "n"),
};
const row = (rows: ReturnType<typeof checkRows>, feature: string): { present: boolean; detail?: string } => {
  const found = rows.find((candidate) => candidate.feature === feature);
  assert.ok(found, feature);
  return { present: found.present, ...(found.detail !== undefined && { detail: found.detail }) };
};

test("what a machine lacks is shown as absent, with the reason where there is one", () => {
  const rows = checkRows(bare);
  assert.deepEqual(row(rows, "user: root"), { present: false });
  assert.deepEqual(row(rows, "kernel: mount_setattr"), { present: false, detail: "needs Linux 5.12, this is 5.10.0-28-amd64" });
  assert.deepEqual(row(rows, "namespace: user"), { present: false });
  assert.deepEqual(row(rows, "cgroup: pids"), { present: true, detail: "/sys/fs/cgroup" });
  assert.deepEqual(row(rows, "cgroup: memory"), { present: false });
  assert.deepEqual(row(rows, "cgroup: freezer"), { present: true, detail: "/sys/fs/cgroup" });
  assert.deepEqual(row(rows, "cgroup: swap accounting"), { present: true });
  assert.deepEqual(row(rows, "capability: CAP_SYS_ADMIN"), { present: true });
  assert.deepEqual(row(rows, "capability: CAP_SYS_RESOURCE"), { present: false });
  assert.deepEqual(row(rows, "security: seccomp filters"), { present: true });
  assert.deepEqual(row(rows, "file system: overlay"), { present: false });
  assert.deepEqual(row(rows, "network: bridge"), { present: true, detail: "as a module: CONFIG_BRIDGE" });
  assert.deepEqual(row(rows, "network: nftables with NAT"), { present: false, detail: "without CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_MASQ" });
});

test("a kernel that does not show its configuration is not called incapable", () => {
  assert.equal(row(checkRows({ ...bare, config: undefined }), "network: veth").present, true);
});

test("this machine's rows are complete and say what each absence costs", () => {
  const rows = checkHost();
  assert.ok(rows.length > 70);
  for (const { feature, cost } of rows) assert.ok(cost !== "", feature);
  assert.equal(new Set(rows.map(({ feature }) => feature)).size, rows.length);
});
