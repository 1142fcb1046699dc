/** Images for tests, made here: no registry is asked. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let busybox: Buffer | undefined;

/** A root file system as tar: a static busybox with all its names, users, and the usual folders. */
export function busyboxImage(): Buffer {
  return (busybox ??= rootfsTar((folder) => {
    const program = realpathSync(execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim());
    copyFileSync(program, join(folder, "bin/busybox"));
    for (const name of execFileSync(program, ["--list"], { encoding: "utf8" }).trim().split("\n")) if (name !== "busybox") symlinkSync("busybox", join(folder, "bin", name));
  }));
}

function rootfsTar(fill: (folder: string) => void): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "gty-rootfs-"));
  try {
    chmodSync(folder, 0o755);
    for (const name of ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var"]) mkdirSync(join(folder, name));
    writeFileSync(join(folder, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\nuser:x:1000:1000:user:/home:/bin/sh\n");
    writeFileSync(join(folder, "etc/group"), "root:x:0:\nnogroup:x:65534:\nuser:x:1000:\nwheel:x:10:user\n");
    fill(folder);
    return execFileSync("tar", ["-C", folder, "--owner=0", "--group=0", "--numeric-owner", "--mtime=@1700000000", "--sort=name", "-c", "."], { maxBuffer: 1 << 28 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
