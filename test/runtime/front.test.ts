/** The command as it is installed: a small program that asks a resident process, and does all itself when there is none to ask. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { nativeDir } from "../../src/sys/addon.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

const program = join(nativeDir, "gantry-runtime");
const folder = mkdtempSync(join(tmpdir(), "gantry-front-test-"));
after(() => {
  for (const pid of residents(folder)) process.kill(pid, "SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** The resident processes that listen in a folder. */
function residents(listeningIn: string): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && lineOf(name).some((word) => word.startsWith(`${listeningIn}/`))).map(Number);
}

function lineOf(pid: string): string[] {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[0]?.endsWith("/node") === true ? words : [];
  } catch {
    return [];
  }
}

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

interface Way {
  resident?: string;
  cwd?: string;
}

const timeless = (text: string): string => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:]+Z/g, "TIME");

/** A shell command, in which $runtime is the program. */
function shell(command: string, { resident = folder, cwd = folder }: Way = {}): Outcome {
  const { status, stdout, stderr } = spawnSync("bash", ["-c", command], { cwd, encoding: "utf8", timeout: 300_000, env: { ...process.env, runtime: program, GANTRY_RESIDENT: resident } });
  return { status, stdout: timeless(stdout), stderr: timeless(stderr) };
}

const state = (bundle: Bundle): string => `--root ${bundle.folder}/state`;

/** What `$runtime run` of the configuration says. */
function run(bundle: Bundle, way?: Way): Outcome {
  return shell(`$runtime ${state(bundle)} run --bundle ${bundle.folder} ${bundle.id}`, way);
}

function start(bundle: Bundle): ChildProcess & { stderrText: () => string } {
  let text = "";
  const child = spawn(program, ["--root", `${bundle.folder}/state`, "run", "--bundle", bundle.folder, bundle.id], { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, GANTRY_RESIDENT: folder } });
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return Object.assign(child, { stderrText: () => text });
}

const exitOf = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.once("close", (code) => resolve(code)));
const childrenOf = (pid: number): number[] => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
const nameOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, "utf8").trim();

test("with and without the resident process, calls answer alike", { skip }, () => {
  using bundle = new Bundle();
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const lines = [
    "--version",
    "--help",
    "run --help",
    "nonsense",
    "--nonsense",
    "features --nonsense",
    `${state(bundle)} state missing`,
    `${state(bundle)} kill missing`,
    `${state(bundle)} start`,
    `${state(bundle)} delete --force missing`,
    `${state(bundle)} exec missing true`,
    `${state(bundle)} exec --process /nowhere missing`,
    `${state(bundle)} run --bundle ${empty} x`,
    `${state(bundle)} run --bundle /nowhere x`,
    `${state(bundle)} run --bundle ${bundle.folder} bad/id`,
    `--log-format json ${state(bundle)} create --bundle /nowhere x`,
    `--log relative.log ${state(bundle)} create --bundle /nowhere x; cat relative.log; rm relative.log`,
    `${state(bundle)} list`,
  ];
  for (const line of lines) assert.deepEqual(shell(`$runtime ${line}`), shell(`$runtime ${line}`, { resident: "off" }), line);
  bundle.configure({ process: processOf(["sh", "-c", "echo out; echo err >&2; exit 7"]) });
  assert.deepEqual(run(bundle), { status: 7, stdout: "out\n", stderr: "err\n" });
  assert.deepEqual(run(bundle, { resident: "off" }), { status: 7, stdout: "out\n", stderr: "err\n" });
  bundle.configure({ process: processOf(["/no/such/program"]) });
  assert.deepEqual(run(bundle), run(bundle, { resident: "off" }));
  bundle.configure({ process: processOf(["true"]), hooks: { poststart: [{ path: "/no/such/hook" }], poststop: [{ path: "/bin/sh", args: ["sh", "-c", "exit 3"] }] } });
  assert.deepEqual(run(bundle), run(bundle, { resident: "off" }));
  assert.equal(residents(folder).length, 1);
  symlinkSync(program, join(folder, "another-name"));
  for (const resident of [folder, "off"]) assert.match(shell(`${folder}/another-name --help`, { resident }).stdout, /another-name - /);
});

test("the container's parents are the caller's children, and what is the caller's is theirs", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  const child = start(bundle);
  await until("a running container", () => shell(`$runtime ${state(bundle)} state ${bundle.id}`).stdout.includes('"running"'));
  const [shim] = childrenOf(child.pid!);
  assert.equal(readlinkSync(`/proc/${child.pid}/exe`), program);
  assert.equal(nameOf(shim!), "gantry-shim");
  // It runs when it is allowed to, and executes the program a moment later.
  await until("its program", () => childrenOf(shim!).map(nameOf).join() === "sleep");
  shell(`$runtime ${state(bundle)} kill ${bundle.id} KILL`);
  assert.equal(await exitOf(child), 137);

  bundle.configure({ process: processOf(["sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj; cut -d' ' -f19 /proc/self/stat"]) });
  const callers = `ulimit -n 777; echo 321 >/proc/self/oom_score_adj; cd ${bundle.folder}; exec nice -n 3 $runtime --root state run --bundle . --pid-file pid ${bundle.id}`;
  const served = shell(callers);
  assert.deepEqual(served, { status: 0, stdout: "777\n321\n3\n", stderr: "" });
  assert.match(readFileSync(join(bundle.folder, "pid"), "utf8"), /^\d+$/);
  assert.deepEqual(shell(callers, { resident: "off" }), served);
});

test("callers that differ in umask, namespaces or rights are not served by each other's resident process", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["grep", "NoNewPrivs", "/proc/self/status"]) });
  const own = join(folder, "own");
  mkdirSync(own, { mode: 0o700 });
  const line = `$runtime ${state(bundle)} run --bundle ${bundle.folder} --pid-file ${bundle.folder}/pid ${bundle.id}`;
  const callers = [line, `umask 077; ${line}; stat -c %a ${bundle.folder}/pid`, `unshare -m -u sh -c '${line}'`, `setpriv --no-new-privs sh -c '${line}'`, `setpriv --bounding-set -sys_boot sh -c '${line}'`];
  const outcomes = callers.map((caller) => shell(caller, { resident: own }));
  assert.deepEqual(outcomes.map(({ status, stderr }) => ({ status, stderr })), callers.map(() => ({ status: 0, stderr: "" })));
  assert.match(outcomes[1]!.stdout, /\n600\n$/);
  assert.deepEqual(outcomes.map(({ stdout }) => /NoNewPrivs:\t(\d)/.exec(stdout)?.[1]), ["0", "0", "0", "1", "0"]);
  assert.equal(residents(own).length, callers.length);
  // Who asks another's nevertheless hears nothing from it.
  const sockets = readdirSync(own).filter((name) => name.endsWith(".sock"));
  const ask = "const s = require('net').connect(process.argv[1]); s.on('data', (d) => { console.log('answered'); process.exit(); }); s.on('close', () => console.log('closed')); s.on('error', () => {});";
  const answers = sockets.map((name) => spawnSync("setpriv", ["--bounding-set", "-sys_boot", process.execPath, "-e", ask, join(own, name)], { encoding: "utf8" }).stdout.trim());
  assert.deepEqual(answers.toSorted(), ["answered", ...callers.slice(1).map(() => "closed")]);
  assert.ok(residents(own).length <= callers.length);
  for (const pid of residents(own)) process.kill(pid, "SIGKILL");
});

test("many first calls at once start one resident process, and all succeed", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["true"]) });
  const cold = join(folder, "cold");
  mkdirSync(cold, { mode: 0o700 });
  const calls = Array.from({ length: 12 }, () => spawn(program, ["--root", `${bundle.folder}/state`, "state", "missing"], { stdio: "ignore", env: { ...process.env, GANTRY_RESIDENT: cold } }));
  assert.deepEqual(await Promise.all(calls.map(exitOf)), calls.map(() => 1));
  // One that finds the socket taken ends.
  await until("one resident process", () => residents(cold).length === 1);
  process.kill(residents(cold)[0]!, "SIGKILL");
  // The socket of one that died is in nobody's way.
  await until("the end of the resident process", () => residents(cold).length === 0);
  assert.equal(run(bundle, { resident: cold }).status, 0);
  assert.equal(residents(cold).length, 1);
  // It ends when its socket is gone.
  rmSync(cold, { recursive: true });
  await until("the end of the resident process", () => residents(cold).length === 0);
});

test("a resident process that hangs is done without; one that dies in the middle is told of", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  const child = start(bundle);
  await until("a running container", () => shell(`$runtime ${state(bundle)} state ${bundle.id}`).stdout.includes('"running"'));
  const [pid] = residents(folder);
  process.kill(pid!, "SIGSTOP");
  assert.equal(shell(`$runtime ${state(bundle)} state ${bundle.id}`).status, 0);
  process.kill(pid!, "SIGKILL");
  await until("the end of the resident process", () => residents(folder).length === 0);
  assert.equal(shell(`$runtime ${state(bundle)} kill ${bundle.id} KILL`).status, 0);
  assert.equal(await exitOf(child), 1);
  assert.match(child.stderrText(), /the resident process ended in the middle of the command/);
  assert.equal(shell(`$runtime ${state(bundle)} delete --force ${bundle.id}`).status, 0);
  assert.deepEqual(bundle.groups(), []);
});

test("what only the caller can open is opened by the caller", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  assert.equal(shell(`$runtime ${state(bundle)} run --detach --bundle ${bundle.folder} ${bundle.id} </dev/null >/dev/null 2>&1`).status, 0);
  const process = JSON.stringify(processOf(["echo", "from a pipe"]));
  assert.equal(shell(`$runtime ${state(bundle)} exec --process <(echo '${process}') ${bundle.id}`).stdout, "from a pipe\n");
  assert.equal(shell(`cat <(mkfifo ${bundle.folder}/log) ; cat ${bundle.folder}/log & $runtime --log ${bundle.folder}/log ${state(bundle)} start ${bundle.id}; wait`).stdout.includes("cannot start an already running container"), true);
});
