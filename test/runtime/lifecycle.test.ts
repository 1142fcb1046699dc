import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

test("create, start, kill, delete, with the specification's states", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]), annotations: { a: "b" } });
  const { id } = bundle;
  const made = bundle.runtime("create", "--pid-file", join(bundle.folder, "pid"), id);
  assert.equal(made.status, 0, made.stderr);
  const created = bundle.state();
  assert.deepEqual(created, { ...created, ociVersion: "1.2.0", id, status: "created", bundle: bundle.folder, annotations: { a: "b" } });
  assert.equal(readFileSync(join(bundle.folder, "pid"), "utf8"), String(created.pid));
  assert.match(bundle.runtime("create", id).stderr, /container with given ID already exists/);
  assert.equal(bundle.runtime("start", id).status, 0);
  assert.equal(bundle.state().status, "running");
  assert.match(bundle.runtime("start", id).stderr, /cannot start an already running container/);
  assert.match(bundle.runtime("delete", id).stderr, /that is not stopped: running/);
  assert.match(bundle.runtime("list").stdout, new RegExp(`^ID +PID +STATUS +BUNDLE +CREATED +OWNER\n${id} +\\d+ +running`));
  assert.equal(bundle.runtime("kill", id, "KILL").status, 0);
  await bundle.until("stopped");
  assert.equal(bundle.state().pid, 0);
  assert.match(bundle.runtime("kill", id).stderr, /container not running/);
  assert.equal(bundle.runtime("delete", id).status, 0);
  assert.deepEqual(bundle.groups(), []);
  assert.match(bundle.runtime("state", id).stderr, /container does not exist/);
  assert.equal(bundle.runtime("delete", "--force", id).status, 0);
  assert.equal(bundle.runtime("list", "-f", "json").stdout, "null\n");
});

test("a created container that is never started can be deleted", { skip }, () => {
  using bundle = new Bundle();
  assert.equal(bundle.runtime("create", bundle.id).status, 0);
  assert.equal(bundle.runtime("delete", bundle.id).status, 0);
  assert.deepEqual(bundle.groups(), []);
});

test("run gives the program's output and code, and leaves nothing", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "echo out; echo err >&2; exit 7"]) });
  const { status, stdout, stderr } = bundle.runtime("run", bundle.id);
  assert.deepEqual([status, stdout, stderr], [7, "out\n", "err\n"]);
  assert.deepEqual(bundle.groups(), []);
  bundle.configure({ process: processOf(["sh", "-c", "kill -9 $$"]) }, { namespaces: [{ type: "mount" }] });
  assert.equal(bundle.runtime("run", bundle.id).status, 137);
});

test("signals to run go to the container", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"]) });
  const child = bundle.start("run", bundle.id);
  const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
  const lines = child.stdout!.setEncoding("utf8")[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "ready\n");
  child.kill("SIGTERM");
  assert.equal((await lines.next()).value, "term\n");
  assert.equal(await ended, 9);
});

test("exec runs beside the container's program, with its own user, directory, environment and code", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  assert.equal(bundle.runtime("run", "--detach", bundle.id).status, 0);
  const exec = (...args: string[]): [number | null, string] => {
    const { status, stdout, stderr } = bundle.runtime("--log", join(bundle.folder, "log"), "exec", ...args);
    return [status, stdout + stderr];
  };
  const { id } = bundle;
  assert.deepEqual(exec(id, "sh", "-c", "echo $PPID; exit 5"), [5, "0\n"]);
  assert.deepEqual(exec("-u", "1000:100", "-g", "7", "--cwd", "/tmp", "-e", "A=b", id, "sh", "-c", "id -u; id -g; id -G; pwd; echo $A"), [0, "1000\n100\n100 7\n/tmp\nb\n"]);
  assert.match(exec("-c", "CAP_SYS_ADMIN", id, "grep", "CapEff", "/proc/self/status")[1], /CapEff:\t00000000a82425fb/);
  assert.deepEqual(exec(id, "no-such"), [255, 'exec failed: unable to start container process: exec: "no-such": executable file not found in $PATH\n']);
  assert.deepEqual(exec("--cwd", "/none", id, "ls"), [255, 'exec failed: unable to start container process: chdir to cwd ("/none") set in config.json failed: no such file or directory\n']);
  assert.match(exec("-t", id, "tty")[1], /\/dev\/pts\/0/);
  writeFileSync(join(bundle.rootfs, "bin/script"), "#!/no/interpreter\n", { mode: 0o755 });
  assert.deepEqual(exec(id, "/bin/script"), [255, 'exec failed: unable to start container process: exec /bin/script: no such file or directory\n']);
  writeFileSync(join(bundle.folder, "sized.json"), JSON.stringify(processOf(["stty", "size"], { terminal: true, consoleSize: { width: 91, height: 17 } })));
  assert.deepEqual(exec("--process", join(bundle.folder, "sized.json"), id), [0, "17 91\n"]);
  writeFileSync(join(bundle.folder, "process.json"), JSON.stringify(processOf(["sh", "-c", "exit 4"])));
  assert.equal(exec("--process", join(bundle.folder, "process.json"), id)[0], 4);
});

test("a terminal's master is sent to the console socket", { skip: skip || (spawnSync("python3", ["-V"]).error ? "needs python3 to receive a file descriptor" : false) }, async () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "stty size; tty"], { terminal: true, consoleSize: { width: 77, height: 22 } }) });
  const path = join(bundle.folder, "console.sock");
  const receiver = spawn("python3", ["-c", receive, path], { stdio: ["ignore", "pipe", "inherit"] });
  const output = text(receiver.stdout);
  await until("a console socket", () => existsSync(path));
  assert.match(bundle.runtime("create", bundle.id).stderr, /needs --console-socket/);
  const made = bundle.runtime("create", "--console-socket", path, bundle.id);
  assert.equal(made.status, 0, made.stderr);
  assert.equal(bundle.runtime("start", bundle.id).status, 0);
  assert.equal(await output, "/dev/ptmx\n22 77\r\n/dev/pts/0\r\n");
});

const receive = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(1); os.rename(sys.argv[1] + ".new", sys.argv[1])
c, _ = s.accept()
data, control, _, _ = c.recvmsg(4096, socket.CMSG_SPACE(4))
print(data.decode(), flush=True)
master = array.array("i", control[0][2])[0]
while True:
    try: out = os.read(master, 4096)
    except OSError: break
    if not out: break
    os.write(1, out)
`;

test("hooks run in their order, with the state", { skip }, () => {
  using bundle = new Bundle();
  const log = join(bundle.folder, "log");
  const hook = (name: string): { path: string; args: string[]; env: string[] } => ({ path: "/bin/sh", args: ["sh", "-c", `echo ${name} $(sed 's/.*"status":"\\([a-z]*\\)".*/\\1/') >> ${log}`], env: ["PATH=/bin:/usr/bin"] });
  bundle.configure({ hooks: { prestart: [hook("prestart")], createRuntime: [hook("createRuntime")], poststart: [hook("poststart")], poststop: [hook("poststop")] } });
  assert.equal(bundle.runtime("run", bundle.id).status, 0);
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), ["prestart creating", "createRuntime creating", "poststart running", "poststop stopped"]);
});

test("a create that fails leaves neither groups nor a record, and says which step failed", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["/no/such"]) });
  const failed = bundle.runtime("create", bundle.id);
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /exec: \\"\/no\/such\\": stat \/no\/such: no such file or directory/);
  bundle.configure({ mounts: [{ destination: "/m", type: "bind", source: "/no/such/source" }] });
  assert.match(bundle.runtime("create", bundle.id).stderr, /error mounting \\"\/no\/such\/source\\" to rootfs at \\"\/m\\" \(mounts\[0\]\): open_tree: no such file or directory/);
  bundle.configure({}, { seccomp: { defaultAction: "SCMP_ACT_WHAT" } });
  assert.match(bundle.runtime("create", bundle.id).stderr, /linux\.seccomp\.defaultAction: unknown action \\"SCMP_ACT_WHAT\\"/);
  assert.deepEqual(bundle.groups(), []);
  assert.equal(bundle.runtime("list", "-q").stdout, "");
});

test("what is not done is refused by name", { skip }, () => {
  using bundle = new Bundle();
  const refused: [string[], RegExp][] = [
    [["checkpoint", "x"], /container does not exist/],
    [["--rootless", "true", "list"], /--rootless true as root is not supported/],
    [["frobnicate"], /No help topic for 'frobnicate'/],
    [["create", "--preserve-fds", "200", bundle.id], /unable to stat preserved-fd/],
    [["create", "--pidfd-socket", "/no/socket", bundle.id], /pidfdSocket \\"\/no\/socket\\": no such file or directory/],
    [["create", "--nope", bundle.id], /unknown flag: --nope/],
    [["create"], /missing arguments/],
    [["state", "../x"], /invalid container ID format/],
    [["state", ".."], /invalid container ID format/],
    [["create", "-b", "/nowhere", bundle.id], /bundle \/nowhere/],
  ];
  for (const [line, pattern] of refused) {
    const { status, stderr } = bundle.runtime(...line);
    assert.equal(status, 1);
    assert.match(stderr, pattern);
  }
});

test("the log has runc's JSON form", { skip }, () => {
  using bundle = new Bundle();
  const log = join(bundle.folder, "log.json");
  assert.match(bundle.runtime("state", "none").stderr, /^time="[^"]+Z" level=error msg="container does not exist"\n$/);
  assert.equal(bundle.runtime("--log", log, "--log-format", "json", "state", "none").stderr, "container does not exist\n");
  const entry = JSON.parse(readFileSync(log, "utf8")) as Record<string, string>;
  assert.deepEqual([entry["level"], entry["msg"]], ["error", "container does not exist"]);
});

test("spec writes a configuration that runs, and plan shows it without doing anything", { skip }, () => {
  using bundle = new Bundle();
  const fresh = join(bundle.rootfs, "..", "fresh");
  spawnSync("mkdir", [fresh]);
  assert.equal(bundle.runtime("spec", "-b", fresh).status, 0);
  assert.match(bundle.runtime("spec", "-b", fresh).stderr, /exists\. Remove it first/);
  const json = JSON.parse(bundle.runtime("plan", "--json", fresh).stdout) as { child: { op: string }[] };
  assert.ok(json.child.some(({ op }) => op === "pivotRoot"));
  assert.match(bundle.runtime("plan", bundle.folder).stdout, /^namespaces:\n {2}mount: new\n[^]*\n {2}mount \/proc fstype=proc/);
  assert.deepEqual(bundle.groups(), []);
});
