/**
 * What a process must have in common with another that does things for it. Callers choose their resident process by these
 * facts (native/front/facts.c has the same lists); it asks them of each caller itself, because a caller with fewer rights
 * could lie.
 */
import { readFileSync, readlinkSync, statSync } from "node:fs";

const lines = /^(?:Umask|Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):.*$/gm;
const namespaces = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

/** `proc`: a process's folder. Undefined when it is gone or not to be seen. */
export function factsOf(proc: string): string | undefined {
  try {
    const status = readFileSync(`${proc}/status`, "utf8").match(lines) ?? [];
    const root = statSync(`${proc}/root/`, { bigint: true });
    return [...status, ...namespaces.map((name) => linkOf(`${proc}/ns/${name}`)), `${root.dev}:${root.ino}`].join("\n");
  } catch {
    return undefined;
  }
}

/** A kernel may be without some kind of namespace. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
