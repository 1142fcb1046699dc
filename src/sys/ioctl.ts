/** ioctl(2) with a buffer: typed views of native/addon/ioctl.c. */
import { addon } from "./addon.ts";

const native = addon as unknown as {
  ioctl(fd: number, request: number, data: Buffer): number;
  ioctlSlowly(fd: number, request: number, data: Buffer): Promise<Buffer>;
};

/** The call changes `data`; what it returns. Throws the errno. */
export const ioctl = (fd: number, request: number, data: Buffer): number => native.ioctl(fd, request, data);

/** On a thread of its own, for what waits for a disk: what the call made of `data`, which itself stays as it is. */
export const ioctlSlowly = (fd: number, request: number, data: Buffer): Promise<Buffer> => native.ioctlSlowly(fd, request, data);
