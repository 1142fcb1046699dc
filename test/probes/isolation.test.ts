/**
 * One program's view of its container (isolation.c), from ours and from runc and dockerd with the same configuration. Differences are
 * none, or in the lists below with the reason; docs/isolation.md has them for readers.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { defaultCapabilities } from "../../src/core/oci-defaults.ts";
import type { OciSpec } from "../../src/lib/oci-spec.ts";
import { defaultSeccomp } from "../../src/oci/seccomp/profile.ts";
import { i386, x86_64 } from "../../src/oci/seccomp/syscall-numbers.ts";
import { nativeDir } from "../../src/sys/addon.ts";
import { which } from "../harness/cli.ts";
import { endEngine, startedEngine } from "../harness/engine.ts";
import { Bundle, processOf, skip as cannotRun } from "../runtime/bundle.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-isolation-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const missing = (...programs: string[]): string | false => cannotRun || programs.filter((program) => which(program) === undefined).map((program) => `needs ${program}`).join(", ") || false;

/** A line of the probe, or what makes it comparable: undefined leaves it out. */
type Rule = [pattern: RegExp, change: ((line: string) => string) | undefined];

/** What says nothing about isolation, in any container. */
const incomparable: Rule[] = [
  // An overlay's folders and a mount's peer group are names of this run.
  [/^mount \S+\t/, (line) => line.replace(/ (?:shared|master|propagate_from):\d+/g, "").replace(/ - overlay .*/, " - overlay")],
  // A pid of the host's; in its own namespace the probe is 1 and its parent 0.
  [/^(process (pid|parent)|status (NS\w+|PPid|Tgid))\t/, (line) => line.replace(/\t([2-9]|\d{2,})$/, "\tPID")],
  // Counters and secrets.
  [/^sysctl \S*(_count|_key|_secret)\t/, undefined],
  // Interfaces of the host's come and go.
  [/^sysctl \/proc\/sys\/net\/\w+\/(conf|neigh)\/(?!(all|default|lo|eth0)\/)/, undefined],
  // Named after its container's id.
  [/^environment \tHOSTNAME=[0-9a-f]{12}$/, undefined],
  [/^fd /, (line) => line.replace(/(pipe|socket):\[\d+\]/, "pipe")],
];

/** Against runc, whoever calls it. */
const runcDiffers: Rule[] = [
  // Masks are the host's /dev/null and one empty tmpfs: the container's own /dev/null could be made by its image (CVE-2025-31133).
  [/^mount \/(proc|sys\/firmware)\S*\t.* - (tmpfs|devtmpfs) /, (line) => line.replace(/\t.*/, "\tmasked")],
  // A mount is read-only, the file system behind it need not be; and options say "ro" for the tmpfs of groups too.
  [/^mount \/sys(\/fs\/cgroup)?\t/, (line) => line.replace(/\t.*/, "\tread-only or only with read-only mounts in it")],
  [/^access \/sys\/fs\/cgroup\t/, (line) => line.replace(/mode=\d+/, "")],
  // The name of a cgroup mount's source.
  [/^mount \/sys\/fs\/cgroup\/\S+\t/, (line) => line.replace(/ - cgroup \S+/, "")],
  // Writing to a read-only file system and as somebody who may not: which of the two is said.
  [/^access /, (line) => line.replace(/write=(13|30)/, "write=refused")],
];

/** `run` in the foreground: ours gives its own streams to the container, runc copies through pipes. */
const streamsDiffer: Rule = [/^fd [012]\t/, undefined];

const dockerdDiffers: Rule[] = [
  ...runcDiffers,
  // The parent group has the engine's name.
  [/\/(docker|gantry)\/ID/, (line) => line.replace(/\/(docker|gantry)\/ID/, "/ENGINE/ID")],
  // The device is opened on the host's /dev, out of the container's sight.
  [/^fd 0\t/, (line) => line.replace("/dev/null", "/null")],
  // Masked by Docker since 28; ::1 is there since Docker 26. The peer may be older.
  [/^(access|mount) \/proc\/interrupts\t/, undefined],
  [/disable_ipv6\t/, undefined],
];

function comparable(output: string, rules: Rule[]): string[] {
  return output.trim().split("\n").flatMap((line) => {
    let text: string | undefined = line;
    for (const [pattern, change] of [...incomparable, ...rules]) if (text !== undefined && pattern.test(text)) text = change?.(text);
    return text === undefined ? [] : [text];
  }).toSorted();
}

/** Namespaces are the host's or the container's own. */
function namespacesOf(output: string, hostProc: string): string {
  const host = new Map(readdirSync(`${hostProc}/ns`).map((name) => [name, readlinkSync(`${hostProc}/ns/${name}`)]));
  return output.replaceAll(/^(namespace (\S+)\t)(.*)$/gm, (_, start: string, name: string, link: string) => start + (host.get(name) === link ? "host" : "own"));
}

/** Compiled once. */
function probe(name: "isolation" | "syscalls"): string {
  const program = join(folder, name);
  if (!existsSync(program)) execFileSync("cc", ["-O1", "-static", "-o", program, join(import.meta.dirname, `${name}.c`)]);
  return program;
}

/* ---- ours and runc, by a bundle ---- */

const runtimes = [join(nativeDir, "gantry-runtime"), "runc"];
const seccomp = defaultSeccomp({ capabilities: defaultCapabilities, host: { architecture: "x86_64", kernelRelease: "6.18.0" } });

function runWith(runtime: string, bundle: Bundle, input?: string): string {
  // Who may use few CPUs hands that on by runc.
  const { status, stdout, stderr } = spawnSync("taskset", ["-c", readFileSync("/sys/devices/system/cpu/online", "utf8").trim(), runtime, "--root", join(bundle.folder, `state-${runtime.length}`), "run", "--bundle", bundle.folder, bundle.id], { encoding: "utf8", timeout: 300_000, input: input ?? "" });
  assert.equal(status, 0, `${runtime}: ${stderr}`);
  return namespacesOf(stdout, "/proc/self").replaceAll(bundle.folder, "BUNDLE");
}

const user = { uid: 1000, gid: 100, additionalGids: [5, 6], umask: 0o27 };
const cases: Record<string, { change: Partial<OciSpec>; linux: Partial<NonNullable<OciSpec["linux"]>> }> = {
  "Docker's defaults": { change: { hostname: "probed" }, linux: { seccomp } },
  "an ordinary user with no_new_privs and limits": {
    change: { process: processOf(["/isolation"], { user, noNewPrivileges: true, oomScoreAdj: 7, cwd: "/tmp", rlimits: [{ type: "RLIMIT_NOFILE", soft: 99, hard: 199 }, { type: "RLIMIT_CORE", soft: 0, hard: 0 }] }) },
    linux: { seccomp },
  },
  "no filter, a read-only root, sysctls": { change: { root: { path: "rootfs", readonly: true }, hostname: "probed" }, linux: { sysctl: { "net.ipv4.ip_forward": "1", "kernel.shmmax": "12345" } } },
  "few namespaces of its own": { change: {}, linux: { namespaces: [{ type: "mount" }, { type: "pid" }] } },
};

for (const [name, { change, linux }] of Object.entries(cases)) {
  test(`a container sees the same by runc: ${name}`, { skip: missing("runc", "cc", "taskset") }, (context) => {
    using bundle = new Bundle();
    copyFileSync(probe("isolation"), join(bundle.rootfs, "isolation"));
    bundle.configure({ process: processOf(["/isolation"]), ...change }, linux);
    const [ours, theirs] = runtimes.map((runtime) => comparable(runWith(runtime, bundle), [...runcDiffers, streamsDiffer]));
    assert.ok(ours!.length > 300, `only ${ours!.length} facts`);
    assert.deepEqual(ours, theirs);
    context.diagnostic(`facts ${ours!.length}, mismatches 0`);
  });
}

test("a difference is seen", { skip: missing("cc", "taskset") }, () => {
  using bundle = new Bundle();
  copyFileSync(probe("isolation"), join(bundle.rootfs, "isolation"));
  const seen = [{}, { noNewPrivileges: true, user: { uid: 0, gid: 0, additionalGids: [4] } }].map((process) => {
    bundle.configure({ process: processOf(["/isolation"], process) }, {});
    return comparable(runWith(runtimes[0]!, bundle), []);
  });
  assert.deepEqual(seen[1]!.filter((line) => !seen[0]!.includes(line)), ["status Groups\t4 ", "status NoNewPrivs\t1"]);
});

test("runc gives the same verdict on every system call", { skip: missing("runc", "cc", "taskset") || (process.arch === "x64" ? false : "asks in the manner of x86-64") }, () => {
  using bundle = new Bundle();
  copyFileSync(probe("syscalls"), join(bundle.rootfs, "syscalls"));
  bundle.configure({ process: processOf(["/syscalls"]) }, { seccomp });
  // These two pass before any filter is asked, and end whoever makes them by hand.
  const unfiltered = new Set([x86_64["uretprobe"], x86_64["uprobe"]]);
  const most = Math.max(...Object.values(x86_64), ...Object.values(i386)) + 40;
  const questions = [64, 32].flatMap((abi) => Array.from({ length: most }, (_, number) => number).filter((number) => abi === 32 || !unfiltered.has(number)).map((number) => `${abi} ${number} 0\n`));
  const [ours, theirs] = runtimes.map((runtime) => runWith(runtime, bundle, questions.join("")).split("\n"));
  assert.equal(ours!.length, questions.length + 1);
  // An older libseccomp knows fewer calls, and refuses what came after those as unknown.
  const isKnown = (line: string): boolean => line !== "" && Number(line.split(" ")[1]) <= known;
  const known = Math.max(...theirs!.filter((line) => line !== "" && !line.endsWith(" 38")).map((line) => Number(line.split(" ")[1])));
  assert.ok(known > 400);
  assert.deepEqual(ours!.filter(isKnown), theirs!.filter(isKnown));
});

/* ---- ours and dockerd, by the API ---- */

const bodies: object[] = [
  { Hostname: "probed" },
  { Hostname: "probed", Tty: true, OpenStdin: true },
  { Hostname: "probed", User: "1000:100", HostConfig: { SecurityOpt: ["no-new-privileges"], CapAdd: ["NET_ADMIN"], CapDrop: ["CHOWN"], Ulimits: [{ Name: "nofile", Soft: 99, Hard: 199 }], OomScoreAdj: 5, GroupAdd: ["7"] } },
  { HostConfig: { ReadonlyRootfs: true, PidMode: "host", IpcMode: "host", UTSMode: "host", NetworkMode: "none", SecurityOpt: ["seccomp=unconfined"] } },
];

async function viewsBy(program: "gantryd" | "dockerd"): Promise<string[][]> {
  const isolation = probe("isolation");
  chmodSync(folder, 0o755);
  const engine = await startedEngine({ program });
  try {
    const views: string[][] = [];
    for (const body of bodies) {
      const HostConfig = { ...(body as { HostConfig?: object }).HostConfig, Binds: [`${isolation}:/isolation:ro`, `${folder}:/out`] };
      // A terminal would change line ends, and its size is the client's: into a file.
      const { Id } = await engine.api.json("POST", "/containers/create", { query: { name: "probed" }, json: { Image: "busybox", Entrypoint: ["/isolation", "/out/view"], Cmd: [], ...body, HostConfig } });
      writeFileSync(join(folder, "view"), "");
      chmodSync(join(folder, "view"), 0o666);
      await engine.api.json("POST", `/containers/${Id}/start`);
      const { StatusCode } = await engine.api.json("POST", `/containers/${Id}/wait`);
      assert.equal(StatusCode, 0);
      await engine.api.json("DELETE", `/containers/${Id}`);
      const text = namespacesOf(readFileSync(join(folder, "view"), "utf8"), `/proc/${engine.machine.pid}`);
      views.push(comparable(text.replaceAll(Id, "ID").replaceAll(engine.machine.folder, "MACHINE"), dockerdDiffers));
    }
    return views;
  } finally {
    await endEngine(engine);
  }
}

test("a container sees the same by dockerd", { skip: missing("dockerd", "containerd", "iptables", "cc") }, async (context) => {
  const [ours, theirs] = [await viewsBy("gantryd"), await viewsBy("dockerd")];
  for (const [index, body] of bodies.entries()) assert.deepEqual(ours[index], theirs[index], JSON.stringify(body));
  context.diagnostic(`facts ${ours.flat().length}, mismatches 0`);
});
