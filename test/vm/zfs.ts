/**
 * ZFS for the virtual machine: Debian has the kernel's part as source only (component contrib), which is compiled here for the
 * machine's kernel, once, by the host's compiler.
 *
 *   build/vm/zfs/{sources.list,lists,archives}  apt's, apart from the host's: contrib need not be switched on there
 *   build/vm/zfs/guest/zfs/modules/             *.ko and the order in which they are loaded
 *   build/vm/zfs/guest/zfs/usr/                 the programs zfs and zpool with their libraries
 */
import type { ExecFileSyncOptionsWithStringEncoding } from "node:child_process";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const programs = ["zfsutils-linux", "libzfs4linux", "libzpool5linux", "libnvpair3linux", "libuutil3linux", "libtirpc3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libkeyutils1", "libcom-err2", "libssl3"];
const modules = ["spl", "znvpair", "zcommon", "icp", "zavl", "zlua", "zunicode", "zzstd", "zfs"];
const quiet: ExecFileSyncOptionsWithStringEncoding = { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" };

/** `kernel`: the package linux-image-... Returns a folder with zfs/ in it. */
export function makeZfs(project: string, kernel: string, say: (text: string) => void): string {
  const folder = join(project, "build/vm/zfs");
  const guest = join(folder, "guest");
  const release = kernel.replace("linux-image-", "");
  const key = createHash("sha256").update(`${release}\n${readFileSync(import.meta.filename, "utf8")}`).digest("hex");
  if (existsSync(join(folder, "key")) && readFileSync(join(folder, "key"), "utf8") === key) return guest;
  rmSync(folder, { recursive: true, force: true });
  say("downloading ZFS and the kernel's headers");
  const archives = download(folder, release);
  say("compiling ZFS for the machine's kernel, once; this takes minutes");
  compile(folder, archives, release);
  for (const name of programs) unpack(archives(name), join(guest, "zfs"));
  writeFileSync(join(folder, "key"), key);
  return guest;
}

type Archives = (packageName: string) => string;

function download(folder: string, release: string): Archives {
  const archives = join(folder, "archives");
  for (const name of ["lists/partial", "archives/partial"]) mkdirSync(join(folder, name), { recursive: true });
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "stable";
  const source = (path: string): string => `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/${path} main contrib\n`;
  writeFileSync(join(folder, "sources.list"), source(`debian ${codename}`) + source(`debian-security ${codename}-security`) + source(`debian ${codename}-updates`));
  const options = [`Dir::Etc::sourcelist=${join(folder, "sources.list")}`, "Dir::Etc::sourceparts=/dev/null", `Dir::State::lists=${join(folder, "lists")}`, "APT::Sandbox::User=root"].flatMap((option) => ["-o", option]);
  execFileSync("apt-get", ["-qq", ...options, "update"], quiet);
  const headers = `linux-headers-${release}`;
  const needed = [...execFileSync("apt-cache", [...options, "depends", headers], quiet).matchAll(/Depends: (linux-(?:headers|kbuild)\S+)/g)].map(([, name]) => name!);
  execFileSync("apt-get", ["-qq", ...options, "download", "zfs-dkms", headers, ...needed, ...programs], { ...quiet, cwd: archives });
  return (name) => {
    const [file] = globSync(`${name}_*.deb`, { cwd: archives });
    if (file === undefined) throw new Error(`apt-get has not downloaded ${name}`);
    return join(archives, file);
  };
}

function unpack(archive: string, root: string): void {
  for (const name of ["lib", "sbin"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    if (!existsSync(join(root, name))) symlinkSync(`usr/${name}`, join(root, name));
  }
  execFileSync("sh", ["-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"', "sh", archive, root], quiet);
}

/** The headers name their parts by absolute paths: they are laid over /usr, for the compiler alone. */
const script = `set -e
mount -t overlay overlay -o "lowerdir=$1/usr:/usr,upperdir=$2,workdir=$3" /usr
cd /usr/src/zfs-*
./configure --disable-dependency-tracking --with-config=kernel --with-linux="/usr/src/linux-headers-$4" --with-linux-obj="/usr/src/linux-headers-$5"
make -j"$(nproc)"
`;

function compile(folder: string, archives: Archives, release: string): void {
  const [root, upper, work] = ["sources", "built", "work"].map((name) => join(folder, name)) as [string, string, string];
  for (const name of [upper, work]) mkdirSync(name);
  const common = release.replace(/-cloud-amd64$/, "-common");
  for (const name of ["zfs-dkms", `linux-headers-${release}`, `linux-headers-${common}`, "linux-kbuild-*"]) unpack(archives(name), root);
  const log = join(folder, "compile.log");
  execFileSync("unshare", ["--mount", "--propagation", "private", "sh", "-c", `exec >"$0" 2>&1; ${script}`, log, root, upper, work, common, release], quiet);
  const into = join(folder, "guest/zfs/modules");
  mkdirSync(into, { recursive: true });
  const built = globSync(join(upper, "src/zfs-*/module/**/*.ko"));
  const order = modules.map((name) => built.find((file) => basename(file) === `${name}.ko`) ?? "");
  if (order.includes("")) throw new Error(`ZFS has not been compiled; ${log} says why`);
  for (const file of order) execFileSync("strip", ["--strip-debug", "-o", join(into, basename(file)), file], quiet);
  writeFileSync(join(into, "order"), order.map((file) => `${basename(file)}\n`).join(""));
  for (const name of [root, upper, work]) rmSync(name, { recursive: true, force: true });
}
