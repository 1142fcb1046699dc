/** AppArmor profiles are in force, and mounts have ids of their own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { Bundle, processOf } from "../runtime/bundle.ts";

const profile = "profile gantry-vm flags=(attach_disconnected) {\n  file,\n  capability,\n  network,\n  signal,\n  ptrace,\n  deny /tmp/denied w,\n}\nprofile gantry-vm-strict flags=(attach_disconnected) {\n  file,\n  deny /tmp/other w,\n}\n";

before(() => {
  if (!readFileSync("/proc/mounts", "utf8").includes(" /sys/kernel/security ")) spawnSync("mount", ["-t", "securityfs", "securityfs", "/sys/kernel/security"]);
  const { status, stderr } = spawnSync("apparmor_parser", ["--replace", "--skip-cache"], { input: profile, encoding: "utf8" });
  assert.equal(status, 0, stderr);
});

const script = "cat /proc/self/attr/current; for f in denied other; do touch /tmp/$f 2>/dev/null && echo $f made; rm -f /tmp/$f; done; true";

test("AppArmor: the process runs under its profile; exec under its own or another one; an unknown one fails", () => {
  using bundle = new Bundle();
  assert.equal(bundle.run(script, { process: processOf([], { apparmorProfile: "gantry-vm" }) }), "gantry-vm (enforce)\nother made\n");
  assert.equal(bundle.run(script), "unconfined\ndenied made\nother made\n");
  bundle.configure({ process: processOf(["sleep", "1000"], { apparmorProfile: "gantry-vm" }) });
  assert.equal(bundle.runtime("run", "-d", bundle.id).stderr, "");
  assert.deepEqual(bundle.runtime("exec", bundle.id, "sh", "-c", script), { status: 0, stdout: "gantry-vm (enforce)\nother made\n", stderr: "" });
  assert.deepEqual(bundle.runtime("exec", "--apparmor", "gantry-vm-strict", bundle.id, "sh", "-c", script), { status: 0, stdout: "gantry-vm-strict (enforce)\ndenied made\n", stderr: "" });
  bundle.runtime("delete", "--force", bundle.id);
  bundle.configure({ process: processOf(["true"], { apparmorProfile: "gantry-vm-missing" }) });
  const { status, stderr } = bundle.runtime("run", bundle.id);
  assert.equal(status, 1);
  assert.match(stderr, /apparmor/i);
});

test("idmapped mounts: files have other owners inside, and what is made has the host's; below as well with ridmap", () => {
  using bundle = new Bundle();
  const source = join(bundle.folder, "source");
  mkdirSync(join(source, "below"), { recursive: true });
  spawnSync("mount", ["-t", "ext4", "-o", "loop", imageIn(bundle.folder), join(source, "below")]);
  writeFileSync(join(source, "file"), "");
  writeFileSync(join(source, "below/file"), "");
  for (const name of ["", "file", "below/file", "below"]) chownSync(join(source, name), 5000, 5001);
  const mapping = { uidMappings: [{ containerID: 5000, hostID: 70, size: 10 }], gidMappings: [{ containerID: 5000, hostID: 70, size: 10 }] };
  const owners = (option: string): string => bundle.run("stat -c '%u:%g' /data /data/file /data/below/file; touch /data/made", { mounts: [{ destination: "/data", source, type: "none", options: ["rbind", option], ...mapping }], process: processOf([], { user: { uid: 70, gid: 70 } }) });
  try {
    assert.equal(owners("idmap"), "70:71\n70:71\n5000:5001\n");
    assert.equal(statSync(join(source, "made")).uid, 5000);
    assert.equal(owners("ridmap"), "70:71\n70:71\n70:71\n");
  } finally {
    spawnSync("umount", [join(source, "below")]);
  }
});

function imageIn(folder: string): string {
  const image = join(folder, "image");
  spawnSync("truncate", ["-s", "16M", image]);
  assert.equal(spawnSync("mkfs.ext4", ["-q", image]).status, 0);
  return image;
}
