/** Weaknesses that runc and crun have had, tried with gantry-runtime; each with a control that the attempt would work without the defence. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defaultMounts } from "../../src/core/oci-defaults.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

/** A folder of the host that nothing of a container may reach. */
function canary(): { folder: string; [Symbol.dispose]: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "gantry-canary-"));
  writeFileSync(join(folder, "secret"), "of the host\n");
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

test("a directory of the host that the caller has open is no working directory (CVE-2024-21626)", { skip }, () => {
  using host = canary();
  using bundle = new Bundle();
  const fd = openSync(host.folder, "r");
  const places = [5, 9];
  const fds = Array.from({ length: 8 }, () => fd);
  // Control: with such fds the path leads to the host.
  assert.equal(execFileSync("sh", ["-c", "cd /proc/self/fd/5 && cat secret"], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit", ...fds] }), "of the host\n");
  for (const place of places) {
    bundle.configure({ process: processOf(["cat", "secret"], { cwd: `/proc/self/fd/${place}` }) });
    const { status, stdout } = bundle.runtimeWith({ fds }, "run", bundle.id);
    assert.notEqual(status, 0);
    assert.equal(stdout, "");
  }
  bundle.configure({ process: processOf(["sleep", "1000"]) });
  assert.equal(bundle.runtimeWith({ fds }, "run", "-d", bundle.id).status, 0);
  for (const place of places) assert.doesNotMatch(bundle.runtimeWith({ fds }, "exec", "--cwd", `/proc/self/fd/${place}`, bundle.id, "cat", "secret").stdout, /of the host/);
  // Nor is it among the files of a container's init.
  const { pid } = bundle.state();
  assert.deepEqual(readdirSync(`/proc/${pid}/fd`), ["0", "1", "2"]);
  closeSync(fd);
});

test("an image's own /proc is not mounted over, and gets nothing that is meant for the kernel (CVE-2019-19921, CVE-2023-27561)", { skip }, () => {
  using bundle = new Bundle();
  rmSync(join(bundle.rootfs, "proc"), { recursive: true });
  mkdirSync(join(bundle.rootfs, "false/self/attr"), { recursive: true });
  mkdirSync(join(bundle.rootfs, "false/sys/kernel"), { recursive: true });
  writeFileSync(join(bundle.rootfs, "false/sys/kernel/domainname"), "before\n");
  symlinkSync("false", join(bundle.rootfs, "proc"));
  bundle.configure({ process: processOf(["true"]) }, { sysctl: { "kernel.domainname": "after" } });
  assert.match(bundle.runtime("run", bundle.id).stderr, /must be mounted on ordinary directory/);
  // Without a proc mount the sysctl still goes to the kernel.
  bundle.configure({ process: processOf(["cat", "/false/sys/kernel/domainname"]), mounts: defaultMounts.filter(({ destination }) => destination !== "/proc") }, { sysctl: { "kernel.domainname": "after" }, maskedPaths: [], readonlyPaths: [] });
  assert.equal(bundle.runtime("run", bundle.id).stdout, "before\n");
  // Control: with an ordinary directory all is well.
  rmSync(join(bundle.rootfs, "proc"));
  mkdirSync(join(bundle.rootfs, "proc"));
  assert.equal(bundle.run("cat /proc/sys/kernel/domainname", {}, { sysctl: { "kernel.domainname": "after" } }), "after\n");
});

test("an image's own /dev does not redirect devices, the console or masks (CVE-2025-31133, CVE-2025-52565)", { skip }, () => {
  using host = canary();
  using bundle = new Bundle();
  rmSync(join(bundle.rootfs, "dev"), { recursive: true });
  symlinkSync(host.folder, join(bundle.rootfs, "dev"));
  // Seen from inside, the link leads to a folder of that name below the container's root.
  writeFileSync(join(bundle.rootfs, "etc/secret"), "masked\n");
  const show = "ls /dev/null && echo x >/dev/null && cat /etc/secret";
  assert.equal(bundle.run(show, {}, { maskedPaths: ["/etc/secret"] }), "/dev/null\n");
  assert.deepEqual(readdirSync(host.folder), ["secret"]);
  assert.equal(readFileSync(join(host.folder, "secret"), "utf8"), "of the host\n");
  // Control: the mask is what made it empty.
  assert.equal(bundle.run(show, {}, { maskedPaths: [] }), "/dev/null\nmasked\n");
});

test("cgroups cannot be written, nor mounted anew, by a container's root (CVE-2022-0492)", { skip: skip || detectLayout().mode === "v2" }, () => {
  using bundle = new Bundle();
  const attempt = "echo x >/sys/fs/cgroup/memory/release_agent; mkdir /sys/fs/cgroup/memory/x; mount -t cgroup -o memory c /tmp && echo mounted; true";
  const output = bundle.run(`(${attempt}) 2>&1`);
  assert.doesNotMatch(output, /^mounted$/m);
  assert.match(output, /Read-only file system|Permission denied|nonexistent directory|Operation not permitted/);
  // Control: with the right of CAP_SYS_ADMIN the same mount is made.
  const all = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"];
  assert.match(bundle.run(`(${attempt}) 2>&1`, { process: processOf([], { capabilities: { bounding: all, effective: all, permitted: all } }) }), /^mounted$/m);
});

test("a user's number is exact, or an error (CVE-2024-40635)", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  writeFileSync(join(bundle.rootfs, "etc/passwd"), "1:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n");
  assert.equal(bundle.runtime("run", "-d", bundle.id).status, 0);
  for (const user of ["4294967296", "0x0", " 1", ""]) {
    const { status, stdout } = bundle.runtime("exec", `--user=${user}`, bundle.id, "id", "-u");
    // An empty flag is none: the configuration's user.
    if (user === "") assert.equal(stdout, "0\n");
    else assert.equal(status, 255, user);
  }
  assert.equal(bundle.runtime("exec", "--user", "1", bundle.id, "id", "-u").stdout, "1\n");
});
