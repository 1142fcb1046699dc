/**
 * npm run test:vm [FILE...]: runs test files in a virtual machine with Debian's kernel, which has what test machines may lack:
 * systemd, every controller of cgroup v2 (of v1, for files *.v1.vm.ts in a boot of their own), ZFS (the same), AppArmor, idmapped mounts, ipvlan, VLANs, quotas of XFS, thin pools of the device mapper, a kernel that criu knows.
 * The processor is emulated, so that it runs wherever QEMU does; it takes minutes.
 */
import { spawn, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Disks } from "./image.ts";
import { kernelName, makeDisks } from "./image.ts";
import { makeZfs } from "./zfs.ts";

const project = join(import.meta.dirname, "../..");
const timeLimitMs = 45 * 60_000;
const needed: [program: string, from: string][] = [
  ["qemu-system-x86_64", "qemu-system-x86"],
  ["apt-get", "apt"],
  ["apt-cache", "apt"],
  ["dpkg-deb", "dpkg"],
  ["mkfs.ext4", "e2fsprogs"],
  ["tar", "tar"],
];
/** For ZFS. */
const compilers: typeof needed = [
  ["make", "make"],
  ["gcc", "gcc"],
  ["strip", "binutils"],
];

/** Elsewhere most of it is skipped. */
const alsoThere = ["src/drivers/storage-overlay2/quota.test.ts", "src/drivers/storage-devicemapper/devicemapper.test.ts", "src/drivers/storage-devicemapper/kill.test.ts", "src/drivers/storage-zfs/zfs.test.ts", "src/drivers/storage-zfs/kill.test.ts", "src/oci/runtime.foreign.test.ts"];

const say = (text: string): void => console.error(`test:vm: ${text}`);

interface Boot {
  isFor: (file: string) => boolean;
  /** Of the kernel. */
  parameters?: string;
  /** Makes a folder with what only these files need. */
  more?: () => string;
}

const isForZfs = (file: string): boolean => /\bzfs\b/.test(file);

/** A file is for the first that takes it. */
const boots: readonly Boot[] = [
  { isFor: (file) => file.endsWith(".v1.vm.ts"), parameters: "systemd.unified_cgroup_hierarchy=0" },
  { isFor: isForZfs, more: () => makeZfs(project, kernelName(), say) },
  { isFor: () => true },
];

process.exitCode = await main(process.argv.slice(2));

async function main(asked: string[]): Promise<number> {
  const files = asked.length > 0 ? asked : [...globSync("test/vm/*.vm.ts", { cwd: project }).sort(), ...alsoThere];
  const missing = [...needed, ...(files.some(isForZfs) ? compilers : [])].filter(([program]) => spawnSync("sh", ["-c", 'command -v "$1"', "sh", program]).status !== 0);
  if (missing.length > 0) {
    say(`needs ${missing.map(([program]) => program).join(", ")}; on Debian: apt-get install ${[...new Set(missing.map(([, from]) => from))].join(" ")}`);
    return 1;
  }
  if (process.getuid?.() !== 0) {
    say("needs root: the files of the machine's disk have their owners");
    return 1;
  }
  const codes: number[] = [];
  for (const { isFor, parameters = "", more } of boots) {
    const some = files.filter((file) => boots.find((boot) => boot.isFor(file))?.isFor === isFor);
    if (some.length === 0) continue;
    const folder = more?.();
    const argv = ["--test", "--test-concurrency=1", "--test-timeout=600000", "--test-reporter=spec", "--disable-warning=ExperimentalWarning", ...some];
    codes.push(await run(makeDisks(project, argv, { say, ...(folder !== undefined && { more: folder }) }), parameters));
  }
  return Math.max(...codes);
}

/** The machine's first serial port is its console, the second one what the tests say. */
async function run(disks: Disks, parameters: string): Promise<number> {
  const log = join(project, "build/vm/console.log");
  const machine = spawn("qemu-system-x86_64", lineOf(disks, { log, parameters }), { stdio: ["ignore", "pipe", "inherit"] });
  const late = setTimeout(() => machine.kill("SIGKILL"), timeLimitMs);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => machine.kill("SIGKILL"));
  const ended = new Promise((resolve) => machine.on("close", resolve));
  const outcome = await printed(machine.stdout);
  await ended;
  clearTimeout(late);
  if (outcome === undefined) say(`the virtual machine ended before its tests did; ${log} has its console`);
  return outcome ?? 1;
}

function lineOf({ kernel, initramfs, system, project: tar }: Disks, { log, parameters }: { log: string; parameters: string }): string[] {
  const disk = (file: string, writable: boolean): string[] => ["-drive", `file=${file},format=raw,if=virtio,${writable ? "snapshot=on" : "readonly=on"}`];
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2560"],
    ...["-kernel", kernel, "-initrd", initramfs],
    ...["-append", `console=ttyS0 quiet panic=-1 systemd.unit=gantry-tests.service systemd.show_status=0 apparmor=1 security=apparmor systemd.journald.forward_to_console=1 systemd.log_level=warning mitigations=off ${parameters}`],
    ...disk(system, true),
    ...disk(tar, false),
    ...["-chardev", `file,id=console,path=${log}`, "-serial", "chardev:console", "-serial", "stdio"],
  ];
}

/** Copies what the tests print, as a terminal's lines; the code on the last one. */
async function printed(output: NodeJS.ReadableStream): Promise<number | undefined> {
  let outcome: number | undefined;
  for await (const line of createInterface({ input: output })) {
    const code = /^virtual machine: ended with (\d+)/.exec(line)?.[1];
    if (code === undefined) process.stdout.write(`${line.replaceAll("\r", "")}\n`);
    else outcome = Number(code);
  }
  return outcome;
}
