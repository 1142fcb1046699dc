/** Writes the seed corpus of the fuzz targets, native/fuzz/seeds/: run it when the plan's or the messages' form changes. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { detectHost } from "../src/oci/host.ts";
import { compile } from "../src/oci/compile/compile.ts";
import { ByteWriter } from "../src/oci/plan/bytes.ts";
import { encodeExecPlan, encodePlan } from "../src/oci/plan/encode.ts";
import type { ChildOp, ExecStep, MountAttributes, Plan } from "../src/oci/plan/types.ts";
import { encodeDirect, encodeExit, encodeOutput, encodeSignal as encodeFrontSignal, encodeSpawn } from "../src/oci/resident/protocol.ts";
import { encodeAttach, encodeCreate, encodeExec, encodeRelease, encodeResize, encodeSignal, encodeStart, encodeStatus, launcherRequest } from "../src/oci/shim/protocol.ts";
import { specOf } from "../src/oci/runtime.testing.ts";

const folder = join(import.meta.dirname, "../native/fuzz/seeds");

function seed(target: string, name: string, bytes: Uint8Array): void {
  mkdirSync(join(folder, target), { recursive: true });
  writeFileSync(join(folder, target, name), bytes);
}

const attributes: MountAttributes = { set: 1n, clear: 0n, recursiveSet: 2n, recursiveClear: 4n };
const exec: ExecStep = {
  terminal: true,
  user: { uid: 1, gid: 2, additionalGids: [3, 4], umask: 18, spec: "web:group", groupSpecs: ["a", "5"] },
  cwd: "/",
  createCwd: true,
  args: ["sh", "-c", "true"],
  env: ["PATH=/bin"],
  capabilities: { bounding: 1n, effective: 1n, permitted: 1n, inheritable: 0n, ambient: 0n },
  rlimits: [{ resource: 7, soft: 1n, hard: 2n }],
  noNewPrivileges: true,
  oomScoreAdj: -5,
  seccomp: { program: new Uint8Array(16), flags: 1, listenerPath: "/l", listenerState: "m" },
  apparmorProfile: "p",
  selinuxLabel: "l",
  keyring: "k",
  ioPriority: 3,
  scheduler: { policy: 1, flags: 0n, nice: 1, priority: 2, runtime: 3n, deadline: 4n, period: 5n },
  personality: 8,
  memoryPolicy: { mode: 2, nodes: new Uint8Array(8) },
  cpuAffinity: { initial: "0", final: "0-1" },
};

/** One of each op. */
const child: ChildOp[] = [
  { op: "joinCgroups", paths: ["/cg/a"] },
  { op: "rootPropagation", propagation: "slave", recursive: true },
  { op: "rootOverlay", lower: ["/l1", "/l2"], upper: "/u", work: "/w", options: [["index", "off"], ["userxattr", null]] },
  { op: "rootBind", source: "/s" },
  { op: "mount", fstype: "tmpfs", source: "tmpfs", target: "/t", options: [["mode", "755"]], attributes, propagation: { type: "shared", recursive: false }, create: "dir", mode: 0o755, copyUp: true, inheritMode: true },
  { op: "bind", source: "/s", target: "/t", recursive: true, attributes, propagation: [{ type: "private", recursive: true }], create: "like-source", idmap: { uid: "0 1 1", gid: "0 1 1", recursive: true }, keepLocked: true, afterMounts: true },
  { op: "setAttributes", target: "/t", attributes },
  { op: "cgroupMount", target: "/c", hierarchies: [{ name: "cpu,cpuacct", controllers: "cpu,cpuacct", links: ["cpu"], hostPath: "/h" }], unified: false, readonly: true, attributes },
  { op: "mkdir", target: "/d", mode: 0o700 },
  { op: "mknod", target: "/dev/null", type: "c", major: 1, minor: 3, mode: 0o666, uid: 0, gid: 0, bindFallback: true },
  { op: "symlink", target: "/a", to: "b" },
  { op: "console", width: 80, height: 24 },
  { op: "pivotRoot", mode: "pivot" },
  { op: "readonlyRoot" },
  { op: "rootfsPropagation", propagation: "unbindable", recursive: true },
  { op: "maskPath", target: "/proc/kcore" },
  { op: "readonlyPath", target: "/proc/sys" },
  { op: "hostname", name: "h" },
  { op: "domainname", name: "d" },
  { op: "sysctl", name: "net/ipv4/x", value: "1" },
  { op: "timeOffsets", text: "monotonic 1 0\n" },
  { op: "hook", path: "/hook", args: ["hook"], env: ["A=b"], timeoutSeconds: 3, stage: "createRuntime", state: "{}" },
];
const plan: Plan = {
  namespaces: [{ type: "mount", kind: "new" }, { type: "network", kind: "joinFd", index: 0 }, { type: "ipc", kind: "join", path: "/proc/1/ns/ipc" }],
  host: [{ op: "cgroupMkdir", path: "/cg", copyCpuset: true }, { op: "writeFile", path: "/cg/f", data: "1", optional: ["ENOENT"] }, { op: "cgroupDeviceProgram", path: "/cg", program: new Uint8Array(16) }],
  parent: [{ op: "idMaps", uid: "0 100000 65536\n", gid: "0 100000 65536\n", setgroups: "allow" }, { op: "oomScoreAdj", value: 100 }],
  child,
  exec,
  teardown: [{ op: "cgroupRemove", path: "/cg/a" }],
};

/** Pieces of the shim target. */
function pieces(...list: [kind: number, bytes: Uint8Array][]): Buffer {
  const parts = list.map(([kind, bytes]) => Buffer.concat([Buffer.from([kind, bytes.length & 255, bytes.length >> 8]), bytes]));
  return Buffer.concat(parts);
}

/** Pieces of the front target: messages without the length before them. */
function frames(...list: Uint8Array[]): Buffer {
  return Buffer.concat(list.map((bytes) => Buffer.concat([Buffer.from([(bytes.length - 4) & 255, (bytes.length - 4) >> 8]), bytes.subarray(4)])));
}

function status(type: number, write: (w: ByteWriter) => void = () => {}): Buffer {
  const w = new ByteWriter(64);
  w.u8(type);
  write(w);
  return w.bytes();
}

function launcher(...list: [type: number, fds: number, name?: string][]): Buffer {
  return Buffer.concat(
    list.map(([type, fds, name]) => {
      const w = new ByteWriter(64);
      w.u8(type);
      w.u32(1);
      if (name !== undefined) w.string(name);
      return Buffer.concat([Buffer.from([w.bytes().length, fds]), w.bytes()]);
    }),
  );
}

rmSync(folder, { recursive: true, force: true });
const host = detectHost();
const spec = specOf("seed", ["true"]);
seed("plan", "every-op", encodePlan(plan));
seed("plan", "every-field-of-exec", encodeExecPlan({ namespaces: ["pid", "mount"], cgroups: ["/cg/a"], exec }));
delete spec.linux!.seccomp;
seed("plan", "container", encodePlan(compile(spec, { id: "seed", host })));

const shortExec = encodeExecPlan({ namespaces: [], cgroups: [], exec: { ...exec, terminal: false, seccomp: { program: new Uint8Array(8), flags: 0 } } });
const execMessage = { id: "e1", terminal: false, stdin: true, stdinOnce: true, width: 0, height: 0, attach: { stdin: true, stdout: true, stderr: true }, plan: shortExec };
const pid = status(1, (w) => w.u32(2147480000));
const executing = status(3, (w) => {
  w.u32(1);
  w.u8(4);
  w.u32(0);
  w.u32(5);
});
const failed = status(4, (w) => {
  w.u32(2);
  w.u8(5);
  w.u32(3);
  w.string("exec");
  w.string("sh");
});
seed("shim", "start", pieces([2, status(2)], [0, encodeStart(1)], [2, executing], [3, Buffer.alloc(0)], [0, encodeStatus(2)], [0, encodeSignal(3, "", 9, true)], [4, encodeAttach(4, "", { stdin: true, stdout: true, stderr: false })]));
seed("shim", "exec", pieces([2, executing], [3, Buffer.alloc(0)], [4, encodeExec(1, execMessage)], [2, pid], [6, status(2)], [2, executing], [3, Buffer.alloc(0)], [0, encodeResize(2, "e1", { width: 1, height: 2 })], [0, encodeSignal(3, "e1", 15, false)], [0, encodeStatus(4)], [0, encodeRelease(5)]));
seed("shim", "exec-fails", pieces([2, executing], [3, Buffer.alloc(0)], [0, encodeExec(1, { ...execMessage, attach: undefined })], [2, failed], [3, Buffer.alloc(0)], [4, encodeExec(2, { ...execMessage, terminal: true, id: "e2", plan: undefined })]));
seed("shim", "create-again", pieces([0, encodeCreate(1, { folder: "/x", terminal: false, stdin: true, stdinOnce: false, autostart: true, trace: false, width: 1, height: 1, logPath: "/l", logAttributes: "", logMaxBytes: 5, logMaxFiles: 1, plan: Buffer.from("x") })]));

const { hello, fork, put, get, drop, end } = launcherRequest;
seed("launcher", "all", launcher([hello, 0], [fork, 1], [put, 2, "a"], [get, 0, "a"], [put, 1, "a"], [drop, 0, "a"], [get, 0, "a"], [end, 0]));
seed("launcher", "names", launcher([put, 8, "x".repeat(100)], [put, 1, ""], [put, 0, "b"], [fork, 3]));

const spawned = { path: "/bin/shim", args: ["shim", "create", "/x"], env: ["A=b"], input: Buffer.from("odd"), forwardSignals: true };
seed("front", "run", frames(encodeSpawn(1, { ...spawned, kind: "plan" }), encodeSpawn(2, { ...spawned, kind: "hook", input: Buffer.from("even") }), encodeFrontSignal(2, 9), encodeOutput("stdout", "text\n"), encodeExit(3)));
seed("front", "fails", frames(encodeOutput("stderr", "why\n"), encodeSpawn(1, { ...spawned, path: "", kind: "hook" }), encodeDirect()));
seed("front", "many", frames(...[1, 2, 3, 4, 5, 5].map((id) => encodeSpawn(id, { ...spawned, kind: "plan" }))));

seed("log", "lines", Buffer.from('\x01\x10hello\nwor"ld\\<&>\n\x05par\nt\x08tial end', "latin1"));
seed("log", "unicode", Buffer.concat([Buffer.from([0, 40]), Buffer.from("ä€😀\u2028\xff\n"), Buffer.from([3, 0xe2, 0x80, 0xa8, 2, 0xff, 0xc3])]));
seed("log", "long", Buffer.concat([Buffer.from([1]), ...Array.from({ length: 200 }, () => Buffer.concat([Buffer.from([255]), Buffer.alloc(255, "x")])), Buffer.from([1, 10])]));

function identity(user: string, passwd: string, group: string): Buffer {
  return Buffer.concat([Buffer.from([user.length]), Buffer.from(user), Buffer.from([passwd.length & 255, passwd.length >> 8]), Buffer.from(passwd), Buffer.from(group)]);
}
const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\nbad:x:4294967296:0::/:\n";
const group = "root:x:0:\nweb:x:1001:root,web\nextra:x:5:web,\n";
for (const user of ["web", "1000", "web:extra", "4294967296", "-1", "0x0", ":5", "nobody"]) seed("identity", `user-${user.replace(":", "_")}`, identity(user, passwd, group));
