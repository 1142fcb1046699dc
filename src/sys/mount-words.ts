/** Mount options in words with commas, as in fstab(5): flags of the kernel, and the rest for the file system. */
import { flag } from "./mounts.ts";

/** Flags to set, or with "clears" to take back. */
const WORDS: Readonly<Record<string, readonly [flags: number, clears?: "clears"]>> = {
  ro: [flag.rdonly],
  rw: [flag.rdonly, "clears"],
  suid: [flag.nosuid, "clears"],
  nosuid: [flag.nosuid],
  dev: [flag.nodev, "clears"],
  nodev: [flag.nodev],
  exec: [flag.noexec, "clears"],
  noexec: [flag.noexec],
  sync: [flag.synchronous],
  async: [flag.synchronous, "clears"],
  dirsync: [flag.dirsync],
  remount: [flag.remount],
  mand: [flag.mandlock],
  nomand: [flag.mandlock, "clears"],
  atime: [flag.noatime, "clears"],
  noatime: [flag.noatime],
  diratime: [flag.nodiratime, "clears"],
  nodiratime: [flag.nodiratime],
  bind: [flag.bind],
  rbind: [flag.bind | flag.rec],
  unbindable: [flag.unbindable],
  runbindable: [flag.unbindable | flag.rec],
  private: [flag.private],
  rprivate: [flag.private | flag.rec],
  slave: [flag.slave],
  rslave: [flag.slave | flag.rec],
  shared: [flag.shared],
  rshared: [flag.shared | flag.rec],
  relatime: [flag.relatime],
  norelatime: [flag.relatime, "clears"],
  strictatime: [flag.strictatime],
  nostrictatime: [flag.strictatime, "clears"],
};

const PROPAGATION = flag.unbindable | flag.private | flag.slave | flag.shared;

export interface MountWords {
  flags: number;
  /** Set by a call of its own: the kernel takes it with nothing else. */
  propagation: number;
  data: string;
}

export function parseMountWords(text: string): MountWords {
  const data: string[] = [];
  let flags = 0;
  for (const word of text === "" ? [] : text.split(",")) {
    const known = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
    if (!known) data.push(word);
    else if (known[1] === "clears") flags &= ~known[0];
    else flags |= known[0];
  }
  const propagation = flags & PROPAGATION;
  return { flags: flags & ~PROPAGATION, propagation: propagation === 0 ? 0 : propagation | (flags & flag.rec), data: data.join(",") };
}
