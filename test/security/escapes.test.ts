/**
 * Ways out of a container that other runtimes had, tried with gantry-runtime. Each has its control: the same attack on a naive
 * operation, or on a container without the defence, succeeds, and so would be seen.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { capabilityNames, defaultMounts } from "../../src/core/oci-defaults.ts";
import { until } from "../../src/lib/eventually.testing.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { defaultSeccomp } from "../../src/oci/seccomp/profile.ts";
import { checkSysctl } from "../../src/oci/validate/sysctl.ts";
import { nativeDir } from "../../src/sys/addon.ts";
import { Bundle, capabilities, processOf, skip as cannotRun } from "../runtime/bundle.ts";
import { compiled, type Programs, withoutCompiler } from "./programs.ts";

const skip = cannotRun || withoutCompiler;
let programs: Programs;
before(() => {
  if (!skip) programs = compiled();
});
after(() => programs?.[Symbol.dispose]());

const every = { bounding: [...capabilityNames], effective: [...capabilityNames], permitted: [...capabilityNames] };

function bundleWithAttacks(): Bundle {
  const bundle = new Bundle();
  copyFileSync(programs.attacks, join(bundle.rootfs, "bin/attacks"));
  return bundle;
}

interface Theft {
  seen: number;
  overwritten: number;
}

/** A container whose root has every capability and looks for programs of others to overwrite, while `meanwhile` goes on. */
async function theft(bundle: Bundle, meanwhile: (pid: number, said: () => string) => void): Promise<Theft> {
  const [said, stop] = [join(bundle.rootfs, "tmp/said"), join(bundle.rootfs, "tmp/stop")];
  rmSync(stop, { force: true });
  writeFileSync(said, "");
  bundle.configure({ process: processOf(["sh", "-c", "attacks thief /tmp/stop >/tmp/said"], { capabilities: every }) }, { maskedPaths: [], readonlyPaths: [] });
  assert.equal(bundle.runtime("run", "-d", bundle.id).status, 0);
  await until("the thief looks", () => readFileSync(said, "utf8").includes("looking"));
  meanwhile(bundle.state().pid, () => readFileSync(said, "utf8"));
  writeFileSync(stop, "");
  await bundle.until("stopped");
  assert.equal(bundle.runtime("delete", bundle.id).status, 0);
  const [, seen, overwritten] = /seen (\d+), overwritten (\d+)/.exec(readFileSync(said, "utf8")) ?? assert.fail("the thief says nothing");
  return { seen: Number(seen), overwritten: Number(overwritten) };
}

test("a program that enters a container cannot be overwritten from inside (CVE-2019-5736)", { skip }, async (context) => {
  using bundle = bundleWithAttacks();
  const shim = join(nativeDir, "gantry-shim");
  const before = readFileSync(shim);
  const entered = await theft(bundle, (_, said) => {
    // It is there for a moment only: on a busy machine the thief may miss it.
    const end = performance.now() + 10_000;
    for (let round = 0; round < 3 || (!said().includes("saw") && performance.now() < end); round++) assert.notEqual(bundle.runtime("exec", bundle.id, "/proc/self/exe").status, null);
  });
  assert.ok(before.equals(readFileSync(shim)));
  assert.equal(entered.overwritten, 0);
  context.diagnostic(`programs seen ${entered.seen}, written to ${entered.overwritten}`);
  // Control: an ordinary program that enters the container's pid namespace, as runc once was, can be overwritten.
  // Both are copies, because their bytes are written.
  const [enter, ordinary] = [join(bundle.folder, "nsenter"), join(bundle.folder, "busybox")];
  copyFileSync(execFileSync("sh", ["-c", "command -v nsenter"], { encoding: "utf8" }).trim(), enter);
  copyFileSync(join(bundle.rootfs, "bin/busybox"), ordinary);
  const control = await theft(bundle, (pid, said) => {
    for (let round = 0; !said().includes("saw") && round < 100; round++) execFileSync(enter, ["-t", String(pid), "--pid", ordinary, "sleep", "0.2"]);
  });
  assert.ok(control.overwritten > 0, JSON.stringify(control));
});

test("a working directory behind a descriptor that somebody left open (CVE-2024-21626)", { skip }, () => {
  using bundle = new Bundle();
  writeFileSync(join(bundle.folder, "secret"), "of the host\n");
  const fd = openSync(bundle.folder, "r");
  const fds = Array.from({ length: 8 }, () => fd);
  const script = "for n in 3 4 5 6 7 8 9 10; do cd /proc/self/fd/$n && cat secret; done 2>&-; true";
  bundle.configure({ process: processOf(["sh", "-c", script]) });
  assert.doesNotMatch(bundle.runtimeWith({ fds }, "run", bundle.id).stdout, /of the host/);
  // Control: a start that closes nothing.
  const naive = 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -c "$1"';
  assert.match(execFileSync("unshare", ["-mpf", "sh", "-c", naive, bundle.rootfs, script], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit", ...fds] }), /of the host/);
  closeSync(fd);
});

test("masks made from the container's own /dev/null show what the image wants (CVE-2025-31133)", { skip }, () => {
  using bundle = new Bundle();
  const secret = join(bundle.folder, "secret");
  writeFileSync(secret, "of the host\n");
  symlinkSync(secret, join(bundle.rootfs, "dev/null"));
  writeFileSync(join(bundle.rootfs, "etc/masked"), "to be masked\n");
  // Without a mount on /dev, the image's own is the container's.
  const mounts = defaultMounts.filter(({ destination }) => !destination.startsWith("/dev"));
  bundle.configure({ process: processOf(["cat", "/etc/masked"]), mounts }, { maskedPaths: ["/etc/masked"] });
  assert.equal(bundle.runtime("run", bundle.id).stdout, "");
  // Control: the same mask, by name.
  const naive = 'mount --bind "$0/dev/null" "$0/etc/masked" && exec chroot "$0" cat /etc/masked';
  assert.equal(execFileSync("unshare", ["-m", "sh", "-c", naive, bundle.rootfs], { encoding: "utf8" }), "of the host\n");
});

test("release_agent and other files of cgroups (CVE-2022-0492, CVE-2023-25809)", { skip: skip || (detectLayout().mode === "v2" ? "is about cgroup v1" : false) }, () => {
  using bundle = new Bundle();
  const attempt = "cd /sys/fs/cgroup; for d in memory pids unified .; do mkdir $d/made && echo made $d; echo 0 >$d/cgroup.clone_children && echo wrote $d; done; unshare -UrmC sh -c 'mount -t cgroup -o memory c /tmp && echo mounted'; unshare -Urm true && echo unshared; true";
  const seccomp = defaultSeccomp({ capabilities: capabilities.effective, host: { architecture: "x86_64", kernelRelease: "6.18.0" } });
  assert.doesNotMatch(bundle.run(`(${attempt}) 2>&-`, {}, { seccomp }), /made|wrote|mounted|unshared/);
  // Control: with groups that may be written, and without a filter.
  const mounts = defaultMounts.map((mount) => (mount.type === "cgroup" ? { ...mount, options: (mount.options ?? []).filter((option) => option !== "ro") } : mount));
  const weakened = bundle.run(`(${attempt}) 2>&-; rmdir /sys/fs/cgroup/*/made 2>&-; true`, { mounts });
  assert.match(weakened, /made memory/);
  assert.match(weakened, /wrote memory/);
  assert.match(weakened, /unshared/);
});

test("a file's capabilities give an ordinary user nothing (CVE-2022-24769, CVE-2022-29162)", { skip }, () => {
  using bundle = bundleWithAttacks();
  copyFileSync(join(bundle.rootfs, "bin/busybox"), join(bundle.rootfs, "bin/grep-as"));
  rmSync(join(bundle.rootfs, "bin/grep"));
  copyFileSync(join(bundle.rootfs, "bin/grep-as"), join(bundle.rootfs, "bin/grep"));
  execFileSync(programs.attacks, ["file-capability", join(bundle.rootfs, "bin/grep")]);
  const user = { uid: 1000, gid: 1000 };
  const look = ["grep", "CapEff", "/proc/self/status"];
  const none = "CapEff:\t0000000000000000\n";
  bundle.configure({ process: processOf(look, { user }) });
  assert.equal(bundle.runtime("run", bundle.id).stdout, none);
  bundle.configure({ process: processOf(["sleep", "1000"]) });
  assert.equal(bundle.runtime("run", "-d", bundle.id).status, 0);
  assert.equal(bundle.runtime("exec", "--user", "1000:1000", bundle.id, ...look).stdout, none);
  // CVE-2022-36109: a group with less rights is not lost, and no other is there.
  assert.equal(bundle.runtime("exec", "--user", "1000:1000", bundle.id, "id", "-G").stdout, "1000\n");
  assert.equal(bundle.runtime("delete", "--force", bundle.id).status, 0);
  // Control: with an inheritable set, as those engines gave.
  bundle.configure({ process: processOf(look, { user, capabilities: { ...capabilities, inheritable: capabilities.bounding } }) });
  assert.equal(bundle.runtime("run", bundle.id).stdout, "CapEff:\t0000000000002000\n");
});

test("user numbers that wrap (CVE-2024-40635), and a user database that never ends (CVE-2024-9676): what naive readers do", { skip }, () => {
  // The defences are tried in runtime.isolation and runtime/security; these are their controls.
  assert.equal(execFileSync(programs.attacks, ["user-by-atoi", "4294967296"], { encoding: "utf8" }), "0\n");
  using bundle = new Bundle();
  const passwd = join(bundle.rootfs, "etc/passwd");
  execFileSync("mkfifo", [passwd]);
  assert.notEqual(spawnSync("cat", [passwd], { timeout: 300 }).signal, null, "a reader by name waits for ever");
  bundle.configure({ process: processOf(["true"]) });
  assert.match(bundle.runtime("run", bundle.id).stderr, /not a regular file/);
});

/** Names that reach another file when they are put below a folder, and values that are more than one. */
const evilNames = ["net/../kernel/domainname", "net.ipv4.ip_forward/../../../kernel/domainname", "net/ipv4/../../../../tmp/x", "kernel.domainname\n", "../kernel/domainname", "net/./ipv4", "net//ipv4", "kernel.core_pattern", "kernel/hostname", "vm.overcommit_memory", "", ".", "/", "net", "net/", "fs.mqueue/../file-max"];

test("names and values of sysctls that lead elsewhere (CVE-2022-0811)", { skip }, () => {
  using bundle = new Bundle();
  const hostSysctls = (): string[] => ["core_pattern", "domainname", "hostname"].map((name) => readFileSync(`/proc/sys/kernel/${name}`, "utf8"));
  const before = hostSysctls();
  const own = new Set(["pid", "network", "mount", "ipc", "uts", "cgroup"] as const);
  for (const name of evilNames) assert.throws(() => checkSysctl(name, "1", own), /sysctl/, name);
  for (const name of [...evilNames.slice(0, 3), "net.ipv4.ip_forward+kernel.core_pattern"]) {
    bundle.configure({ process: processOf(["true"]) }, { sysctl: { [name]: "|/tmp/gantry-evil" } });
    const { status, stderr } = bundle.runtime("run", bundle.id);
    assert.equal(status, 1, name);
    assert.match(stderr, /sysctl/, name);
    assert.deepEqual(hostSysctls(), before, name);
  }
  assert.equal(bundle.run("cat /proc/sys/kernel/domainname", {}, { sysctl: { "kernel.domainname": "one+kernel.core_pattern=|/x" } }), "one+kernel.core_pattern=|/x\n");
  assert.deepEqual(hostSysctls(), before);
  // Control: a writer that only puts the name below a folder reaches another file.
  const folder = join(bundle.folder, "sys");
  mkdirSync(join(folder, "net"), { recursive: true });
  mkdirSync(join(folder, "kernel"));
  const naive = join(folder, evilNames[0]!);
  writeFileSync(naive, "evil");
  assert.equal(readFileSync(join(folder, "kernel/domainname"), "utf8"), "evil");
});

test("an abstract socket reaches whoever shares the network; ours are none (CVE-2020-15257)", { skip }, async () => {
  using bundle = bundleWithAttacks();
  const name = `gantry-test-${process.pid}`;
  const listener = spawn(programs.attacks, ["listen", name], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    await once(listener.stdout, "data");
    const hostNetwork = [{ type: "mount" }, { type: "pid" }, { type: "ipc" }, { type: "uts" }] as const;
    const mounts = defaultMounts.map((mount) => (mount.type === "sysfs" ? { ...mount, type: "bind", source: "/sys", options: ["rbind", "ro"] } : mount)).filter(({ type }) => type !== "cgroup");
    bundle.configure({ process: processOf(["attacks", "connect-all"], { capabilities: every }), mounts }, { namespaces: [...hostNetwork] });
    const { stdout, stderr, status } = bundle.runtime("run", bundle.id);
    assert.equal(status, 0, stderr);
    const reached = stdout.split("\n").filter((line) => line.startsWith("reached "));
    // Control: the abstract one is reached.
    assert.ok(reached.includes(`reached @${name}`), stdout);
    assert.deepEqual(reached.filter((line) => /gantry/.test(line) && !/@gantry-test-\d+$/.test(line)), []);
  } finally {
    listener.kill("SIGKILL");
  }
});
