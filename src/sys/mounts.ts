/** mount(2) and umount2(2), and binds of what is open: typed views of native/addon/mount.c. */
import { addon } from "./addon.ts";

const native = addon as unknown as {
  mountSlowly: (source: string, target: string, type: string, flags: number, data: string) => Promise<void>;
  unmountSlowly: (target: string, flags: number) => Promise<void>;
  unmount: (target: string, flags: number) => void;
  bindFd: (fd: number, target: string) => void;
  attachFd: (fd: number, target: string) => void;
};

/** The flags of mount(2), by the kernel's names without MS_. */
export const flag = {
  rdonly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  synchronous: 16,
  remount: 32,
  mandlock: 64,
  dirsync: 128,
  noatime: 1024,
  nodiratime: 2048,
  bind: 4096,
  rec: 16384,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictatime: 1 << 24,
} as const;

const MNT_DETACH = 2;

/** On a thread of its own: a file system may wait for its server. */
export const mount = (source: string, target: string, type: string, flags: number, data: string): Promise<void> => native.mountSlowly(source, target, type, flags, data);

/** Takes the topmost mount away from a path, at once; it ends when nothing uses it any more. False when nothing is mounted there. */
export async function detach(path: string): Promise<boolean> {
  try {
    await native.unmountSlowly(path, MNT_DETACH);
    return true;
  } catch (error) {
    if (isNotMounted(error)) return false;
    throw error;
  }
}

/** The same for file systems that never wait. */
export function detachNow(path: string): void {
  try {
    native.unmount(path, MNT_DETACH);
  } catch (error) {
    if (!isNotMounted(error)) throw error;
  }
}

const isNotMounted = (error: unknown): boolean => ["EINVAL", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Lets the open file or folder appear at `target`, an existing one of the same kind, with what is mounted below it. */
export const bindOpen = (fd: number, target: string): void => native.bindFd(fd, target);

/** Lets a mount that is attached nowhere appear at `target`, an existing folder. The fd stays the caller's. */
export const attachMount = (fd: number, target: string): void => native.attachFd(fd, target);

/** What the C library says of an error, as Docker prints it: "no such file or directory". The addon's messages end with it. */
export function errnoMessage(error: unknown): string {
  const text = (error as Error).message.split(": ").at(-1) ?? "";
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
