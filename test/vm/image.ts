/**
 * The disks that the virtual machine starts from, made of Debian's packages: apt-get finds and downloads them, nothing is
 * installed here and no package's script runs. What was downloaded and made stays in build/vm until packages change.
 *
 *   build/vm/packages/   .deb files
 *   build/vm/root/       the same, unpacked, with the Node program and guest/
 *   build/vm/{kernel,initramfs,system.img,key}
 *   build/vm/project.tar what is tested, new at each run
 */
import type { ExecFileSyncOptionsWithStringEncoding } from "node:child_process";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, globSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const kernelPackage = "linux-image-cloud-amd64";
/** usr-is-merged spares perl. */
const packages = ["usr-is-merged", "systemd", "dbus", "criu", "iptables", "runc", "crun", "kmod", "iproute2", "xfsprogs", "apparmor", "busybox-static", "procps", "e2fsprogs", "libatomic1", "util-linux", "coreutils", "bash", "firewalld"];
/** For the disks; in the order in which the kernel can load them they come from modules.dep. */
const earlyModules = ["virtio_pci", "virtio_blk", "ext4"];

export interface Disks {
  kernel: string;
  initramfs: string;
  system: string;
  project: string;
}

const guest = join(import.meta.dirname, "guest");
const quiet: ExecFileSyncOptionsWithStringEncoding = { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" };

/** `more`: a folder that the project's has in it there, too. */
export function makeDisks(project: string, argv: readonly string[], { say, more }: { say: (text: string) => void; more?: string }): Disks {
  const folder = join(project, "build/vm");
  const disks = { kernel: join(folder, "kernel"), initramfs: join(folder, "initramfs"), system: join(folder, "system.img"), project: join(folder, "project.tar") };
  mkdirSync(join(folder, "packages/partial"), { recursive: true });
  const files = download(join(folder, "packages"), say);
  const node = realpathSync(join(project, "build/node"));
  const key = keyOf(files, node);
  if (!existsSync(join(folder, "key")) || readFileSync(join(folder, "key"), "utf8") !== key) {
    say("making the system's disk of Debian's packages, once");
    rmSync(join(folder, "key"), { force: true });
    makeSystem(join(folder, "root"), files, node);
    makeInitramfs(join(folder, "root"), disks);
    makeDisk(join(folder, "root"), disks.system);
    writeFileSync(join(folder, "key"), key);
  }
  packProject(project, argv, { file: disks.project, ...(more !== undefined && { more }) });
  return disks;
}

/** Changes with the packages' versions, the Node program and guest/. */
function keyOf(files: readonly string[], node: string): string {
  const scripts = readdirSync(guest).map((name) => readFileSync(join(guest, name), "utf8"));
  return createHash("sha256").update([...files.map((file) => basename(file)), node, readFileSync(import.meta.filename, "utf8"), ...scripts].join("\n")).digest("hex");
}

/** The packages with all that they depend on, as if nothing were installed, and the kernel with nothing. */
function download(folder: string, say: (text: string) => void): string[] {
  const install = (archives: string, ...rest: string[]): string =>
    execFileSync("apt-get", ["-qq", "-y", "-o", "Dir::State::status=/dev/null", "-o", `Dir::Cache::archives=${archives}`, "-o", "APT::Install-Recommends=false", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1", "install", ...rest, ...packages], quiet);
  const names = (text: string): string[] => [...text.matchAll(/^'[^']*' (\S+) /gm)].map(([, name]) => join(folder, name!));
  const isMissing = (file: string): boolean => !existsSync(file);
  // Only what is not in its folder is listed.
  mkdirSync(join(folder, "none/partial"), { recursive: true });
  const system = names(install(join(folder, "none"), "--print-uris"));
  if (system.some(isMissing)) {
    say("downloading Debian's packages");
    install(folder, "--download-only");
  }
  const kernel = names(execFileSync("apt-get", ["-qq", "download", "--print-uris", kernelName()], quiet));
  if (kernel.some(isMissing)) {
    say("downloading Debian's kernel");
    execFileSync("apt-get", ["-qq", "-o", "APT::Sandbox::User=root", "download", kernelName()], { ...quiet, cwd: folder });
  }
  return [...system, ...kernel];
}

/** The package that the current one stands for. */
export function kernelName(): string {
  const text = execFileSync("apt-cache", ["depends", kernelPackage], quiet);
  const name = /Depends: (linux-image-[\d.]+\S*)/.exec(text)?.[1];
  if (name === undefined) throw new Error(`apt-cache knows no kernel by the name ${kernelPackage}`);
  return name;
}

function makeSystem(root: string, files: readonly string[], node: string): void {
  rmSync(root, { recursive: true, force: true });
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  for (const file of files) execFileSync("sh", ["-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"', "sh", file, root], quiet);
  for (const name of ["proc", "sys", "dev", "run", "tmp", "root", "etc/systemd/system", "busybox"]) mkdirSync(join(root, name), { recursive: true });
  for (const [path, text] of Object.entries(settings)) writeFileSync(join(root, path), text);
  for (const unit of maskedUnits) symlinkSync("/dev/null", join(root, "etc/systemd/system", unit));
  symlinkSync("bash", join(root, "usr/bin/sh"));
  for (const name of ["iptables-restore", "ip6tables-restore"]) symlinkSync("xtables-nft-multi", join(root, "usr/sbin", name));
  copyFileSync(node, join(root, "usr/bin/node"));
  copyFileSync(join(guest, "gantry-tests.service"), join(root, "etc/systemd/system/gantry-tests.service"));
  copyFileSync(join(guest, "tests.sh"), join(root, "usr/lib/gantry-tests.sh"));
  chmodSync(join(root, "usr/lib/gantry-tests.sh"), 0o755);
  execFileSync("chroot", [root, "/sbin/depmod", kernelRelease(root)], quiet);
  for (const applet of ["ip", "awk", "ps", "vi", "less"]) rmSync(join(root, "busybox", applet), { force: true });
  for (const applet of execFileSync(join(root, "usr/bin/busybox"), ["--list"], quiet).trim().split("\n")) if (!existsSync(join(root, "usr/bin", applet)) && !existsSync(join(root, "usr/sbin", applet))) symlinkSync("/usr/bin/busybox", join(root, "busybox", applet));
}

/** What packages' scripts would have made. */
const settings = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
  "etc/group": "root:x:0:\ntty:x:5:\ndisk:x:6:\nkmem:x:15:\nmessagebus:x:100:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
  "etc/hosts": "127.0.0.1 localhost\n",
  "etc/hostname": "gantry-vm\n",
  "etc/machine-id": "6761 6e74 7279 2d76 6d2d 7465 7374 2d31\n".replaceAll(" ", ""),
  "etc/fstab": "",
};

/** They have nothing to do here, and take time to do it. */
const maskedUnits = ["systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udev-settle.service", "systemd-timesyncd.service", "systemd-logind.service", "systemd-journal-flush.service", "getty@.service", "serial-getty@.service", "apparmor.service", "e2scrub_reap.service", "dev-hugepages.mount", "systemd-binfmt.service", "systemd-hwdb-update.service", "polkit.service"];

const kernelRelease = (root: string): string => readdirSync(join(root, "lib/modules"))[0] ?? "";

function makeInitramfs(root: string, disks: Disks): void {
  const release = kernelRelease(root);
  const folder = `${root}-early`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "bin"), { recursive: true });
  mkdirSync(join(folder, "modules"));
  copyFileSync(join(root, "usr/bin/busybox"), join(folder, "bin/busybox"));
  copyFileSync(join(guest, "init"), join(folder, "init"));
  chmodSync(join(folder, "init"), 0o755);
  const modules = loadOrder(join(root, "lib/modules", release), earlyModules);
  for (const module of modules) copyFileSync(module, join(folder, "modules", basename(module)));
  writeFileSync(join(folder, "modules/order"), modules.map((module) => `${basename(module)}\n`).join(""));
  execFileSync("sh", ["-c", 'cd "$1" && find . | "$2" cpio -o -H newc >"$3"', "sh", folder, join(root, "usr/bin/busybox"), disks.initramfs], { stdio: ["ignore", "pipe", "ignore"] });
  copyFileSync(join(root, "boot", `vmlinuz-${release}`), disks.kernel);
}

/** modules.dep: "path: needed needed ..."; what a module needs comes before it. What is built in has no line. */
function loadOrder(folder: string, names: readonly string[]): string[] {
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(join(folder, "modules.dep"), "utf8").split("\n")) {
    const [path = "", rest = ""] = line.split(":");
    needs.set(path, rest.split(" ").filter((word) => word !== ""));
  }
  const order: string[] = [];
  const add = (path: string): void => {
    if (order.includes(path)) return;
    for (const needed of needs.get(path) ?? []) add(needed);
    order.push(path);
  };
  for (const name of names) for (const path of needs.keys()) if (basename(path) === `${name}.ko`) add(path);
  return order.map((path) => (path.startsWith("/") ? path : join(folder, path)));
}

/** Room for what tests write: the file is sparse, and a run leaves it as it was. */
function makeDisk(root: string, image: string): void {
  rmSync(`${image}.new`, { force: true });
  execFileSync("mkfs.ext4", ["-q", "-d", root, "-E", "lazy_itable_init=1", "-O", "^has_journal", `${image}.new`, "3G"], quiet);
  renameSync(`${image}.new`, image);
}

/** A tar file is a disk's content as it is. */
function packProject(project: string, argv: readonly string[], { file, more }: { file: string; more?: string }): void {
  const staging = join(dirname(file), "project");
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(join(staging, "build"), { recursive: true });
  symlinkSync("/usr/bin/node", join(staging, "build/node"));
  writeFileSync(join(staging, "build/ready"), "");
  writeFileSync(join(staging, "arguments.txt"), argv.join(" "));
  const parts = ["bin", "dist", "src", "test", "scripts", "package.json", "tsconfig.json", "build/native", "build/images", "native/front", ...globSync("node_modules/{ws,yaml,dns-packet,@leichtgewicht,smol-toml}", { cwd: project })];
  execFileSync("tar", ["-cf", file, "-C", project, ...parts, "-C", staging, "build/node", "build/ready", "arguments.txt", ...(more === undefined ? [] : ["-C", more, "."])], quiet);
}
