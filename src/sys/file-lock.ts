/** Locks of flock(2): they end with their descriptor, however its process ends. */
import { addon } from "./addon.ts";

const native = addon as { lockNow(fd: number): boolean };

/** Whether the open file or folder is this descriptor's alone now. */
export const lockNow = (fd: number): boolean => native.lockNow(fd);
