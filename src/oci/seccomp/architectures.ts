/** Architectures of seccomp filters: OCI's names, the kernel's AUDIT_ARCH values, and the system calls of each. */
import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { Architecture } from "../host.ts";
import * as numbers from "./syscall-numbers.ts";

export interface SeccompArchitecture {
  /** include/uapi/linux/audit.h */
  audit: number;
  /** Registers have 32 bits, so do arguments. */
  narrow: boolean;
  syscalls: Readonly<Record<string, number>>;
  /** Calls that this architecture also offers through one multiplexing call: name to that call and its first argument. */
  multiplexed: Readonly<Record<string, { call: string; selector: number }>>;
}

const numbered = (call: string, names: Record<number, string>): Record<string, { call: string; selector: number }> =>
  Object.fromEntries(Object.entries(names).map(([selector, name]) => [name, { call, selector: Number(selector) }]));

/** include/uapi/linux/net.h and ipc.h */
const i386Multiplexed = {
  ...numbered("socketcall", {
    1: "socket", 2: "bind", 3: "connect", 4: "listen", 5: "accept", 6: "getsockname", 7: "getpeername", 8: "socketpair", 9: "send", 10: "recv", 11: "sendto",
    12: "recvfrom", 13: "shutdown", 14: "setsockopt", 15: "getsockopt", 16: "sendmsg", 17: "recvmsg", 18: "accept4", 19: "recvmmsg", 20: "sendmmsg",
  }),
  ...numbered("ipc", {
    1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop", 11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl", 21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl",
  }),
};

const known: Record<string, SeccompArchitecture> = {
  SCMP_ARCH_X86_64: { audit: 0xc000_003e, narrow: false, syscalls: numbers.x86_64, multiplexed: {} },
  SCMP_ARCH_X86: { audit: 0x4000_0003, narrow: true, syscalls: numbers.i386, multiplexed: i386Multiplexed },
  SCMP_ARCH_AARCH64: { audit: 0xc000_00b7, narrow: false, syscalls: numbers.aarch64, multiplexed: {} },
  SCMP_ARCH_ARM: { audit: 0x4000_0028, narrow: true, syscalls: numbers.arm, multiplexed: {} },
};

/** Names that a profile may have, sorted. */
export const knownArchitectures: readonly string[] = Object.keys(known).toSorted();

/** Which of them a machine can run. x32 is accepted and then refused by the filter, see compile.ts. */
const runnable: Record<Architecture, string[]> = { x86_64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], aarch64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"] };

const elsewhere = new Set([
  "SCMP_ARCH_NATIVE", "SCMP_ARCH_X32", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
  "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
  "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
]);

/** The native architecture always, the others when the profile lists them and this machine can run them. */
export function architecturesOf(listed: readonly string[], host: Architecture): SeccompArchitecture[] {
  for (const [index, name] of listed.entries()) {
    if (lookup(known, name) === undefined && !elsewhere.has(name)) throw invalidParameter(`linux.seccomp.architectures[${index}]: unknown architecture ${JSON.stringify(name)}`);
  }
  const [native, ...others] = runnable[host];
  return [native!, ...others.filter((name) => listed.includes(name))].map((name) => known[name]!);
}
