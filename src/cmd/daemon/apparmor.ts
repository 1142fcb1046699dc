/**
 * The AppArmor profile of containers that name none and are not privileged. It has dockerd's name, so that what says
 * `apparmor=docker-default` means it, and one that dockerd has loaded serves as well.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { messageOf, systemError } from "../../lib/errors.ts";

const NAME = "docker-default";
const LOADED = "/sys/kernel/security/apparmor/profiles";
const PARSER = "apparmor_parser";

/**
 * Files, networks and capabilities are for mounts, namespaces and capability sets to decide; this is what holds when one of those is
 * wrong: nothing is mounted, settings of the kernel are not written, and programs of the host are neither signalled nor traced.
 */
const PROFILE = `profile ${NAME} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send, receive) peer=${NAME},
  ptrace (trace, read, tracedby, readby) peer=${NAME},

  deny mount,
  deny /proc/* w,
  deny /proc/{acpi,asound,bus,driver,fs,irq,pressure,scsi,tty}/** w,
  deny /proc/sys/{abi,crypto,debug,dev,fs,net,sunrpc,user,vm}/** w,
  deny /proc/sys/kernel/{[^s]*,s[^h]*}{,/**} w,
  deny /proc/{kcore,sysrq-trigger} rwklx,
  deny /sys/{block,bus,class,dev,devices,hypervisor,kernel,module,power}/** wklx,
  deny /sys/fs/{[^c]*,c[^g]*}/** wklx,
  deny /sys/{devices/virtual/powercap,firmware,kernel/security}/** rwklx,
}
`;

export interface AppArmor {
  readonly profile: string;
  /** Loads it when it is not there any more: other services reload all that they know. Throws "system". */
  ensure(): void;
}

/** Undefined where nothing can be confined by it: the kernel has no AppArmor, or the program that loads profiles is not there. */
export function openAppArmor(present: boolean, warn: (message: string) => void): AppArmor | undefined {
  if (!present) return undefined;
  if (spawnSync(PARSER, ["--version"], { stdio: "ignore" }).status !== 0) {
    warn(`containers have no AppArmor profile: the program ${PARSER} is not there`);
    return undefined;
  }
  try {
    ensure();
  } catch (error) {
    warn(`containers have no AppArmor profile: ${messageOf(error)}`);
    return undefined;
  }
  return { profile: NAME, ensure };
}

function ensure(): void {
  if (readFileSync(LOADED, "utf8").split("\n").some((line) => line.startsWith(`${NAME} `))) return;
  const { status, error, stderr } = spawnSync(PARSER, ["--replace", "--skip-cache"], { input: PROFILE, encoding: "utf8" });
  if (status !== 0) throw systemError(`loading the AppArmor profile ${NAME}: ${error ? messageOf(error) : stderr.trim()}`, error);
}
