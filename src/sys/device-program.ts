/** Device programs of cgroup v2: a typed view of native/addon/device_program.c. */
import { addon } from "./addon.ts";

const native = addon as { replaceDeviceProgram(group: string, program: Buffer): void };

/** `group`: a folder of the v2 hierarchy. `program`: instructions of eBPF, which decide alone from now on. Throws the kernel's error. */
export const replaceDeviceProgram = (group: string, program: Uint8Array): void => native.replaceDeviceProgram(group, Buffer.from(program.buffer, program.byteOffset, program.byteLength));
