/** What a folder is on. */
import { statfsSync } from "node:fs";

/** Magic numbers of statfs(2) and Docker's names for them. */
const fileSystems: Record<number, string> = {
  0xef53: "extfs",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0xf2f52010: "f2fs",
  0x2fc12fc1: "zfs",
  0x794c7630: "overlayfs",
  0x6969: "nfs",
  0x65735546: "fuse",
  0xca451a4e: "bcachefs",
};

export const fileSystemOf = (dir: string): string => fileSystems[statfsSync(dir).type] ?? "<unknown>";
