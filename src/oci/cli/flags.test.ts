import assert from "node:assert/strict";
import { test } from "node:test";
import { ownProcess } from "./caller.ts";
import { main } from "./main.ts";

/** Of runc 1.5, by command; "" has the global ones. An engine may use any of them. */
const runc: Record<string, string> = {
  "": "debug log log-format root systemd-cgroup rootless help,h version,v",
  create: "bundle,b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds",
  run: "bundle,b console-socket pidfd-socket detach,d keep pid-file no-subreaper no-pivot no-new-keyring preserve-fds",
  start: "",
  state: "",
  kill: "all,a",
  delete: "force,f",
  exec: "console-socket pidfd-socket cwd env,e tty,t user,u additional-gids,g process,p detach,d pid-file process-label apparmor no-new-privs cap,c preserve-fds cgroup ignore-paused",
  pause: "",
  resume: "",
  ps: "format,f",
  list: "format,f quiet,q",
  spec: "bundle,b rootless",
  update: "resources,r blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period cpu-rt-runtime cpuset-cpus cpuset-mems kernel-memory kernel-memory-tcp memory cpu-idle memory-reservation memory-swap pids-limit l3-cache-schema mem-bw-schema",
  events: "interval stats",
  features: "",
  checkpoint: "image-path work-path parent-path leave-running tcp-established tcp-skip-in-flight link-remap ext-unix-sk shell-job lazy-pages status-fd page-server file-locks pre-dump manage-cgroups-mode empty-ns auto-dedup",
  restore: "console-socket image-path work-path tcp-established ext-unix-sk shell-job file-locks manage-cgroups-mode bundle,b detach,d pid-file no-subreaper no-pivot empty-ns auto-dedup lazy-pages lsm-profile lsm-mount-context",
};

async function help(...args: string[]): Promise<string> {
  let text = "";
  assert.equal(await main(["help", ...args], "0", { ...ownProcess, write: (_, more) => void (text += more) }), 0);
  return text;
}

/** "name" or "name,shorthand" of each flag that a help text lists. */
const flagsIn = (text: string): string[] => [...text.matchAll(/^ {3}(?:-(\w), )?--([\w-]+)/gm)].map(([, shorthand, name]) => (shorthand === undefined ? name! : `${name},${shorthand}`));

test("every command of runc and every flag of it is there, by its name and letter", async () => {
  const commands = [...(await help()).matchAll(/^ {3}(\w+) {2,}\S/gm)].map(([, name]) => name!);
  for (const [command, flags] of Object.entries(runc)) {
    if (command !== "") assert.ok(commands.includes(command), command);
    const known = new Set(flagsIn(await help(...(command === "" ? [] : [command]))));
    assert.deepEqual(flags.split(" ").filter((flag) => flag !== "" && !known.has(flag)), [], command);
  }
});
