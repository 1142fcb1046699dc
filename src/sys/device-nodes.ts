/** Device nodes of the host. */
import { lstatSync, readdirSync, statSync } from "node:fs";
import type { Stats } from "node:fs";
import { join } from "node:path";
import { getSystemErrorMessage } from "node:util";
import type { OciDevice } from "../lib/oci-spec.ts";

export type DeviceNode = OciDevice & { major: number; minor: number };

/** The device that a path (or the link there) is, or all devices in and below a folder. Throws an Error with the errno's words. */
export function devicesAt(path: string): DeviceNode[] {
  const stat = statusOf(path);
  if (!stat.isDirectory()) return deviceOf(path, stat);
  return devicesBelow(path, new Set());
}

function statusOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    throw new Error(getSystemErrorMessage((cause as NodeJS.ErrnoException).errno ?? 0), { cause });
  }
}

/** Folders of /dev that are file systems of their own, and what a container's terminal is. */
const NOT_SHARED = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** All of /dev but pseudo terminals and consoles: what a privileged container gets. */
export function allDevices(): DeviceNode[] {
  return devicesBelow("/dev", NOT_SHARED).filter(({ path }) => path !== "/dev/console" && path !== "/dev/ptmx");
}

function devicesBelow(folder: string, skipped: ReadonlySet<string>): DeviceNode[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat || skipped.has(name)) return [];
    return stat.isDirectory() ? devicesBelow(path, skipped) : deviceOf(path, stat);
  });
}

function deviceOf(path: string, stat: Stats): DeviceNode[] {
  if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return [];
  const { rdev } = stat;
  return [
    {
      path,
      type: stat.isBlockDevice() ? "b" : "c",
      major: majorOf(rdev),
      minor: minorOf(rdev),
      fileMode: stat.mode & 0o777,
      uid: stat.uid,
      gid: stat.gid,
    },
  ];
}

/** glibc's encoding (sys/sysmacros.h): MMMM MMMM mmmm MMMm mm, in 64 bits. */
const majorOf = (rdev: number): number => Number(((BigInt(rdev) >> 8n) & 0xfffn) | ((BigInt(rdev) >> 32n) & 0xfffff000n));
const minorOf = (rdev: number): number => Number((BigInt(rdev) & 0xffn) | ((BigInt(rdev) >> 12n) & 0xffffff00n));
