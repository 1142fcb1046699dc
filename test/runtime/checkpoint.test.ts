/** checkpoint and restore by the real criu, where there is one that works on this machine; what needs none runs everywhere. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { defaultMounts } from "../../src/core/oci-defaults.ts";
import { until } from "../../src/lib/eventually.testing.ts";
import { Bundle, busybox, processOf, skip } from "./bundle.ts";
import { counted, counting, countsPast, imagesOf, needsCriu, ok, program } from "./criu.ts";

const mountsBelow = (folder: string): string[] => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(folder));

test("a container goes on where it was, also a second time, with its limits; nothing is left after delete", needsCriu, async () => {
  using bundle = new Bundle({ process: counting }, { resources: { pids: { limit: 33 } } });
  const pidFile = join(bundle.folder, "pid");
  ok(bundle.runtime("run", "-d", bundle.id));
  for (let round = 0; round < 2; round++) {
    await countsPast(bundle, 3);
    ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
    assert.match(bundle.runtime("state", bundle.id).stderr, /does not exist/);
    assert.deepEqual(bundle.groups(), []);
    const before = counted(bundle);
    ok(bundle.runtime("restore", "-d", "--pid-file", pidFile, ...imagesOf(bundle), bundle.id));
    await countsPast(bundle, before);
    const { status, pid } = bundle.state();
    assert.deepEqual([status, readFileSync(pidFile, "utf8")], ["running", String(pid)]);
    const pids = bundle.groups().find((group) => existsSync(join(group, "pids.max")))!;
    assert.equal(readFileSync(join(pids, "pids.max"), "utf8"), "33\n");
    assert.ok(readFileSync(join(pids, "cgroup.procs"), "utf8").split("\n").includes(String(pid)));
    assert.match(ok(bundle.runtime("exec", bundle.id, "cat", "/proc/1/cmdline")), /^sh/);
    assert.match(bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id).stderr, /container with given ID already exists/);
  }
  ok(bundle.runtime("pause", bundle.id));
  ok(bundle.runtime("resume", bundle.id));
  ok(bundle.runtime("delete", "--force", bundle.id));
  assert.deepEqual([bundle.groups(), existsSync(join(bundle.folder, "state", bundle.id)), mountsBelow(bundle.folder)], [[], false, []]);
});

test("in the foreground: streams, signals, the exit code, hooks", needsCriu, async () => {
  using bundle = new Bundle();
  const log = join(bundle.folder, "hooks");
  const hook = (name: string): { path: string; args: string[]; env: string[] } => ({ path: "/bin/sh", args: ["sh", "-c", `echo ${name} $(${busybox} sed 's/.*"status":"\\([a-z]*\\)".*/\\1/') >> ${log}`], env: ["PATH=/bin:/usr/bin"] });
  const hooks = { prestart: [hook("prestart")], createRuntime: [hook("createRuntime")], poststart: [hook("poststart")], poststop: [hook("poststop")] };
  bundle.configure({ process: processOf(["sh", "-c", "trap 'echo got it; exit 7' TERM; while :; do sleep 0.1; echo tick; done"]), hooks });
  ok(bundle.runtime("run", "-d", bundle.id));
  ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  writeFileSync(log, "");
  const output = join(bundle.folder, "output");
  const fd = openSync(output, "w");
  const restored = spawn(program, bundle.line(["restore", ...imagesOf(bundle), bundle.id]), { cwd: bundle.folder, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  await until("a restored container", () => existsSync(join(bundle.folder, "state", bundle.id, "state.json")));
  restored.kill("SIGTERM");
  const [code] = (await once(restored, "exit")) as [number];
  assert.equal(code, 7);
  assert.match(readFileSync(output, "utf8"), /got it\n$/);
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), ["prestart creating", "createRuntime creating", "poststop stopped"]);
  assert.deepEqual([bundle.groups(), mountsBelow(bundle.folder)], [[], []]);
});

test("--leave-running: it runs on, and can be restored when it is gone", needsCriu, async () => {
  using bundle = new Bundle({ process: counting });
  ok(bundle.runtime("run", "-d", bundle.id));
  await countsPast(bundle, 2);
  const { pid } = bundle.state();
  ok(bundle.runtime("checkpoint", "--leave-running", ...imagesOf(bundle), bundle.id));
  await countsPast(bundle, counted(bundle));
  assert.deepEqual(bundle.state(), { ...bundle.state(), status: "running", pid });
  ok(bundle.runtime("delete", "--force", bundle.id));
  ok(bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id));
  await countsPast(bundle, counted(bundle));
});

test("a terminal: its master goes to the console socket; in the foreground it is served", { skip: needsCriu.skip || (spawnSync("python3", ["-V"]).error ? "needs python3 to receive a file descriptor" : false) }, async () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "while read line; do echo read $line; tty; done"], { terminal: true }) });
  const path = join(bundle.folder, "console.sock");
  const listen = async (line: string): Promise<() => string> => {
    const child = spawn("python3", ["-c", receive, path, line], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (bytes) => (output += String(bytes)));
    await until("a console socket", () => existsSync(path));
    return () => output;
  };
  await listen("");
  ok(bundle.runtime("run", "-d", "--console-socket", path, bundle.id));
  assert.match(bundle.runtime("restore", "-d", ...imagesOf(bundle), "x").stderr, /needs --console-socket/);
  ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  const second = await listen("hello");
  ok(bundle.runtime("restore", "-d", "--console-socket", path, ...imagesOf(bundle), bundle.id));
  await until("what the terminal shows", () => second().includes("/dev/pts/0"));
  assert.match(second(), /^\/dev\/ptmx\nhello\r\nread hello\r\n\/dev\/pts\/0/);
  ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  const restored = spawn(program, bundle.line(["restore", ...imagesOf(bundle), bundle.id]), { cwd: bundle.folder, stdio: ["pipe", "pipe", "inherit"] });
  const output = text(restored.stdout);
  restored.stdin.write("again\n\u0004");
  await once(restored, "exit");
  assert.match(await output, /read again\n\/dev\/pts\/0/);
});

const receive = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(1); os.rename(sys.argv[1] + ".new", sys.argv[1])
c, _ = s.accept()
os.unlink(sys.argv[1])
data, control, _, _ = c.recvmsg(4096, socket.CMSG_SPACE(4))
print(data.decode(), flush=True)
master = array.array("i", control[0][2])[0]
if sys.argv[2]: os.write(master, sys.argv[2].encode() + b"\\n")
while True:
    try: out = os.read(master, 4096)
    except OSError: break
    if not out: break
    os.write(1, out)
`;

test("a joined network namespace stays the one that it was", needsCriu, async () => {
  using bundle = new Bundle();
  const holder = spawn("unshare", ["--net", "sleep", "1000"], { stdio: "ignore" });
  try {
    const file = `/proc/${holder.pid}/ns/net`;
    await until("a network namespace", () => readlinkSync(file) !== readlinkSync("/proc/self/ns/net"));
    const types = ["pid", "ipc", "uts", "mount", "cgroup"] as const;
    bundle.configure({ process: counting }, { namespaces: [...types.map((type) => ({ type })), { type: "network", path: file }] });
    ok(bundle.runtime("run", "-d", bundle.id));
    await countsPast(bundle, 1);
    ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
    ok(bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id));
    assert.equal(readlinkSync(`/proc/${bundle.state().pid}/ns/net`), readlinkSync(file));
    ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  } finally {
    holder.kill("SIGKILL");
    await once(holder, "exit");
  }
  assert.match(bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id).stderr, /net/);
  assert.deepEqual(bundle.groups(), []);
});

test("mounts of the host, nested and behind a link, come back with their attributes; missing places are made", needsCriu, async () => {
  using bundle = new Bundle();
  const source = (name: string): string => join(bundle.folder, name);
  for (const name of ["outer", "inner", "linked"]) mkdirSync(source(name));
  writeFileSync(source("file"), "of the host");
  mkdirSync(join(bundle.rootfs, "real/conf"), { recursive: true });
  symlinkSync("/real/conf", join(bundle.rootfs, "conf"));
  const bind = (destination: string, from: string, ...options: string[]): { destination: string; type: string; source: string; options: string[] } => ({ destination, type: "bind", source: source(from), options: ["bind", ...options] });
  bundle.configure({ process: counting, mounts: [...defaultMounts, bind("/outer", "outer"), bind("/outer/for/inner", "inner", "ro", "noexec"), bind("/conf", "linked"), bind("/etc/file", "file", "ro"), { destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["size=1m"] }] });
  ok(bundle.runtime("run", "-d", bundle.id));
  await countsPast(bundle, 1);
  ok(bundle.runtime("exec", bundle.id, "sh", "-c", "echo kept >/scratch/note"));
  const mountsInside = (): string[] => ok(bundle.runtime("exec", bundle.id, "cat", "/proc/self/mountinfo")).trim().split("\n").map((line) => line.split(" ").slice(4, 6).join(" ")).toSorted();
  const before = mountsInside();
  ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  rmSync(join(source("outer"), "for"), { recursive: true });
  rmSync(join(bundle.rootfs, "etc/file"));
  ok(bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id));
  assert.deepEqual(mountsInside(), before);
  assert.equal(ok(bundle.runtime("exec", bundle.id, "sh", "-c", "cat /scratch/note /etc/file; touch /outer/for/inner/x 2>/dev/null || echo ' read-only'")), "kept\nof the host read-only\n");
  assert.ok(statSync(join(source("outer"), "for/inner")).isDirectory());
});

test("pipes of the one who restores take the place of those that were", needsCriu, async () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "while read line; do echo read $line; done"]) });
  // Node's own are sockets.
  const withPipes = (...args: string[]) => spawn("sh", ["-c", 'cat | "$@" 2>err | cat', "sh", program, ...bundle.line(args)], { cwd: bundle.folder, stdio: ["pipe", "pipe", "inherit"] });
  const started = withPipes("run", "-d", bundle.id);
  await until("a running container", () => bundle.runtime("state", bundle.id).stdout.includes('"running"'));
  ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  started.stdin.destroy();
  const restored = withPipes("restore", ...imagesOf(bundle), bundle.id);
  const output = text(restored.stdout);
  restored.stdin.end("a line\n");
  await once(restored, "exit");
  assert.equal(await output, "read a line\n");
});

test("a dump that fails names criu's log and its errors, and the container runs on", needsCriu, async () => {
  using bundle = new Bundle({ process: counting });
  // On none of the container's mounts, and not one of the first three.
  const file = openSync(join(bundle.folder, "outside"), "w");
  ok(bundle.runtimeWith({ fds: [file] }, "run", "-d", "--preserve-fds", "1", bundle.id));
  closeSync(file);
  await countsPast(bundle, 1);
  const { status, stderr } = bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`criu failed: dump.*criu's log ${join(bundle.folder, "work/dump.log")} ends with: .*Error`));
  await countsPast(bundle, counted(bundle));
  assert.equal(bundle.state().status, "running");
});

test("a restore that fails leaves nothing", needsCriu, async () => {
  using bundle = new Bundle({ process: counting });
  ok(bundle.runtime("run", "-d", bundle.id));
  await countsPast(bundle, 1);
  ok(bundle.runtime("checkpoint", ...imagesOf(bundle), bundle.id));
  rmSync(join(bundle.folder, "images/core-1.img"));
  const { status, stderr } = bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`criu failed: restore.*criu's log ${join(bundle.folder, "work/restore.log")} ends with: .*Restoring FAILED`));
  assert.deepEqual([bundle.groups(), existsSync(join(bundle.folder, "state", bundle.id)), mountsBelow(bundle.folder)], [[], false, []]);
  assert.match(bundle.runtime("restore", "-d", "--image-path", "/no/where", bundle.id).stderr, /\/no\/where\/descriptors\.json: .*there is no checkpoint of a container/);
});

test("a restore that is killed: delete --force takes what it had mounted away, and nothing of the root file system", { skip }, async () => {
  using bundle = new Bundle();
  const [images, programs] = [join(bundle.folder, "images"), join(bundle.folder, "programs")];
  for (const folder of [images, programs]) mkdirSync(folder);
  writeFileSync(join(images, "descriptors.json"), '["","",""]');
  // Tells its version, 4.2, and never answers anything longer.
  writeFileSync(join(programs, "criu"), `#!/bin/sh\n${busybox} dd bs=4096 count=1 <&3 >request.$$ 2>/dev/null\n[ $(${busybox} stat -c %s request.$$) = 2 ] || exec ${busybox} sleep 1000\n${busybox} printf '\\010\\012\\020\\001R\\004\\010\\004\\020\\002' >&3\n`, { mode: 0o755 });
  const restoring = spawn(program, bundle.line(["restore", "-d", "--image-path", images, bundle.id]), { cwd: bundle.folder, stdio: "ignore", env: { ...process.env, PATH: `${programs}:${process.env["PATH"]}` } });
  const mountpoint = join(bundle.folder, "state", bundle.id, "criu-root");
  await until("a mounted root", () => mountsBelow(mountpoint).length > 0);
  restoring.kill("SIGKILL");
  await once(restoring, "exit");
  ok(bundle.runtime("delete", "--force", bundle.id));
  assert.deepEqual([bundle.groups(), mountsBelow(bundle.folder), existsSync(join(bundle.folder, "state", bundle.id))], [[], [], false]);
  assert.ok(existsSync(join(bundle.rootfs, "bin/busybox")));
});

test("wrong flags, and a criu that is missing or too old: refused before anything is done", { skip }, async () => {
  using bundle = new Bundle({ process: counting });
  const { id } = bundle;
  ok(bundle.runtime("create", id));
  assert.match(bundle.runtime("checkpoint", id).stderr, /Container cannot be checkpointed in created state/);
  ok(bundle.runtime("start", id));
  await countsPast(bundle, 1);
  const wrong: [string[], RegExp][] = [
    [["--parent-path", bundle.folder], /--parent-path must be relative/],
    [["--parent-path", "../none"], /invalid --parent-path: .*no such file or directory/],
    [["--page-server", "nowhere"], /use --page-server ADDRESS:PORT/],
    [["--page-server", "a:99999"], /use --page-server ADDRESS:PORT/],
    [["-manage-cgroups-mode", "some"], /invalid manage-cgroups-mode value/],
    [["--empty-ns", "pid"], /namespace \\"pid\\" is not supported/],
    [["--lazy-pages", "--status-fd", "77"], /invalid --status-fd argument 77/],
    [["--nope"], /unknown flag: --nope/],
  ];
  for (const [flags, message] of wrong) assert.match(bundle.runtime("checkpoint", ...imagesOf(bundle), ...flags, id).stderr, message);
  const line = bundle.line(["checkpoint", ...imagesOf(bundle), id]);
  const withPath = (path: string): string => spawnSync(program, line, { cwd: bundle.folder, env: { PATH: path }, encoding: "utf8" }).stderr;
  assert.match(withPath(join(bundle.folder, "nothing")), /need the program criu, which is not in PATH/);
  mkdirSync(join(bundle.folder, "old"));
  // It reads the request and answers: version 3.11.
  writeFileSync(join(bundle.folder, "old/criu"), `#!/bin/sh\n${busybox} dd bs=4096 count=1 <&3 >/dev/null 2>&1\n${busybox} printf '\\010\\012\\020\\001R\\004\\010\\003\\020\\013' >&3\n`, { mode: 0o755 });
  mkdirSync(join(bundle.folder, "closed"), { mode: 0o700 });
  writeFileSync(join(bundle.folder, "closed/descriptors.json"), '["","",""]');
  const mapping = [{ containerID: 0, hostID: 100_000, size: 1000 }];
  bundle.configure({ process: counting }, { namespaces: (["user", "pid", "mount"] as const).map((type) => ({ type })), uidMappings: mapping, gidMappings: mapping });
  assert.match(bundle.runtime("restore", "-d", "--image-path", join(bundle.folder, "closed"), `${id}-b`).stderr, /a container in a user namespace cannot reach it: chmod o\+x/);
  assert.match(withPath(join(bundle.folder, "old")), /criu 3\.11 is too old: checkpoint and restore need 3\.16 or a newer one/);
  assert.equal(bundle.state().status, "running");
});
