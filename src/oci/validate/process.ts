/** Checks of `process`: small, named, before anything is done. Each names its field. */
import { invalidParameter } from "../../lib/errors.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import type { HostFacts } from "../host.ts";

type Check = (process: OciProcess, host: HostFacts) => void;

const checks: Record<string, Check> = {
  args: ({ args }) => {
    if (!Array.isArray(args) || args.length === 0) throw invalidParameter("process.args must not be empty");
    args.forEach((arg, index) => noNul(arg, `process.args[${index}]`));
  },
  cwd: ({ cwd }) => {
    if (!cwd?.startsWith("/")) throw invalidParameter(`process.cwd ${JSON.stringify(cwd)} is not an absolute path`);
    noNul(cwd, "process.cwd");
  },
  env: ({ env = [] }) => {
    env.forEach((entry, index) => {
      noNul(entry, `process.env[${index}]`);
      if (entry.indexOf("=") < 1) throw invalidParameter(`process.env[${index}] ${JSON.stringify(entry)} is not NAME=VALUE`);
    });
  },
  user: ({ user }) => {
    const ids: [string, number][] = [["uid", user.uid], ["gid", user.gid]];
    user.additionalGids?.forEach((gid, index) => ids.push([`additionalGids[${index}]`, gid]));
    for (const [name, id] of ids) {
      if (!Number.isInteger(id) || id < 0 || id > 0x7fff_ffff) throw invalidParameter(`process.user.${name} ${id} is not an id from 0 to 2147483647`);
    }
    const { umask } = user;
    if (umask !== undefined && (!Number.isInteger(umask) || umask < 0 || umask > 0o777)) throw invalidParameter(`process.user.umask ${umask} is not a file mode mask`);
  },
  console: ({ consoleSize }) => {
    for (const [name, value] of Object.entries(consoleSize ?? {})) {
      if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw invalidParameter(`process.consoleSize.${name} ${value} is not from 0 to 65535`);
    }
  },
  oomScore: ({ oomScoreAdj: score }) => {
    if (score !== undefined && score !== null && (!Number.isInteger(score) || score < -1000 || score > 1000)) throw invalidParameter(`process.oomScoreAdj ${score} is not from -1000 to 1000`);
  },
  apparmor: ({ apparmorProfile }, host) => {
    if (apparmorProfile && apparmorProfile !== "unconfined" && !host.apparmor) throw invalidParameter(`process.apparmorProfile ${JSON.stringify(apparmorProfile)}: this machine has no AppArmor`);
  },
  selinux: ({ selinuxLabel }, host) => {
    if (selinuxLabel && !host.selinux) throw invalidParameter("process.selinuxLabel is given, but SELinux is not enabled on this machine");
  },
  cpuAffinity: ({ execCPUAffinity }) => {
    for (const [name, list] of Object.entries(execCPUAffinity ?? {})) {
      if (list !== undefined && !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) throw invalidParameter(`process.execCPUAffinity.${name} ${JSON.stringify(list)} is not a list of CPUs`);
    }
  },
};

export function checkProcess(process: OciProcess, host: HostFacts): void {
  for (const check of Object.values(checks)) check(process, host);
}

function noNul(text: string, where: string): void {
  if (text.includes("\0")) throw invalidParameter(`${where} contains NUL`);
}
