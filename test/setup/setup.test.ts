/** The first command in a fresh clone, and what stands in its way; the npm package in a fresh prefix. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { collect, type Outcome } from "../harness/cli.ts";
import { project } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";

/** A slow network counts too. */
const setUpMs = 240_000;

/** Whoever runs the tests may have a daemon of their own. */
const { DOCKER_HOST: _host, DOCKER_CONTEXT: _context, ...withoutDocker } = process.env;

let folder: string;
let clone: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "gty-setup-"));
  clone = join(folder, "clone");
  copySources(clone);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("a fresh clone: one of three commands is killed in the middle, the others set up once and work", { timeout: 600_000 }, async () => {
  const victim = start(["bin/gantry", "--version"], { detached: true });
  await delay(1500);
  const others = [start(["bin/gantry", "--version"]), start(["bin/gantryd", "--version"])].map((child) => collect(child, setUpMs));
  await delay(500);
  if (victim.exitCode === null) process.kill(-(victim.pid ?? 0), "SIGKILL");
  for (const { code, stdout, stderr } of await Promise.all(others)) {
    assert.equal(code, 0, stderr);
    assert.match(stdout, /version/i);
  }
  const { code, stderr } = await collect(start(["bin/gantry", "--version"]), setUpMs);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
});

test("later calls pay a millisecond or two", async () => {
  let [launch, bare] = [Infinity, Infinity];
  // The quickest of each: what else the machine does only makes them slower.
  await eventually(() => {
    for (let round = 0; round < 15; round++) {
      launch = Math.min(launch, timed([join(clone, "bin/gantry"), "--version"]));
      bare = Math.min(bare, timed([join(clone, "build/node"), join(clone, "dist/gantry.js"), "--version"]));
    }
    assert.ok(launch - bare < 15, `${launch} ms by bin/gantry, ${bare} ms without`);
  });
});

test("compiled code beside the bundle is only a cache: missing or spoilt, it breaks nothing", async () => {
  const programs = join(clone, "dist/programs");
  const cache = readdirSync(programs).find((name) => /^gantry-\w+\.js-v/.test(name));
  assert.ok(cache, "the client's is recorded with the bundle");
  const path = join(programs, cache);
  const whole = readFileSync(path);
  for (const spoilt of [Buffer.from("no code"), whole.subarray(0, whole.length / 2), Buffer.alloc(whole.length), undefined]) {
    if (spoilt === undefined) rmSync(path);
    else writeFileSync(path, spoilt);
    const { code, stdout, stderr } = await collect(start(["bin/gantry", "--version"]), setUpMs);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /version/i);
  }
  writeFileSync(path, whole);
});

test("through a symbolic link, from another folder", async () => {
  const link = join(folder, "link");
  symlinkSync("clone/bin/gantry", link);
  const { code, stdout } = await collect(spawn(link, ["--version"], { cwd: "/" }), setUpMs);
  assert.equal(code, 0);
  assert.match(stdout, /^Gantry version \d/);
});

test("linked as docker it has that name, and the version of Docker that scripts look for", async () => {
  const link = join(folder, "docker");
  symlinkSync("clone/bin/gantry", link);
  const said = async (...args: string[]): Promise<string> => (await collect(spawn(link, args, { cwd: "/" }), setUpMs)).stdout;
  assert.match(await said("--version"), /^Docker version 29\.\d+\.\d+, build /);
  assert.match(await said("run", "--help"), /^Usage: +docker run \[OPTIONS\] IMAGE /);
});

test("a commit or checkout makes the next call look again; changed sources are bundled anew", async () => {
  mkdirSync(join(clone, ".git/logs"), { recursive: true });
  writeFileSync(join(clone, ".git/logs/HEAD"), "");
  utimesSync(join(clone, ".git/logs/HEAD"), new Date(), new Date(Date.now() + 1000));
  writeFileSync(join(clone, "src/lib/changed.ts"), "export const changed = 1;\n");
  const { code, stderr } = await collect(start(["bin/gantry", "--version"]), setUpMs);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^gantry: set-up: bundle \.* \d+ s\n$/);
});

test("run hello-world on a machine without a daemon: starts one and prints the greeting; the daemon stays", async () => {
  await using machine = await Machine.create();
  const hello = (): Promise<Outcome> => collect(machine.spawn([join(clone, "bin/gantry"), "run", "--rm", "hello-world"], { stdio: ["ignore", "pipe", "pipe"], env: withoutDocker }), setUpMs);
  const first = await hello();
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /Hello from Gantry/);
  const pid = machine.run("cat", "/run/gantry/gantryd.pid");
  const second = await hello();
  assert.equal(second.stdout, first.stdout);
  assert.equal(machine.run("cat", "/run/gantry/gantryd.pid"), pid);
  await eventually(() => assert.ok(readdirSync(join(clone, "dist/programs")).some((name) => /^gantryd-\w+\.js-v/.test(name)), "it keeps the compiled code of its start"));
});

test("without a compiler: one message with the remedy", async () => {
  const copy = half("nocc", ["build", "dist"]);
  const { code, stderr } = await collect(start(["bin/gantry", "version"], { cwd: copy, env: { PATH: tools(["node", "npm"]) } }));
  assert.equal(code, 1);
  assert.equal(stderr, "gantry: set-up: needs a C compiler, cc\n        on Debian: apt-get install gcc libc6-dev\n");
});

test("without npm, and with a Node that is too old: one message with the remedy", async () => {
  const copy = half("nonpm", ["node_modules", "build", "dist"]);
  const without = await collect(start(["bin/gantry", "version"], { cwd: copy, env: { PATH: tools([]) } }));
  assert.equal(without.code, 1);
  assert.match(without.stderr, /needs Node\.js 18 or newer with npm.*\n.*apt-get install nodejs npm\n$/);
  const path = tools(["npm"]);
  writeFileSync(join(path, "node"), "#!/bin/sh\necho 16.20.2\n");
  chmodSync(join(path, "node"), 0o755);
  const old = await collect(start(["bin/gantry", "version"], { cwd: copy, env: { PATH: path } }));
  assert.equal(old.code, 1);
  assert.match(old.stderr, /needs Node\.js 18 or newer; node on PATH is 16\.20\.2/);
});

test("npm pack makes a package that installs elsewhere and works", { timeout: 600_000 }, async () => {
  rmSync(join(clone, ".git"), { recursive: true, force: true });
  await ok(start(["npm", "pack", "--silent", "--pack-destination", folder], { cwd: clone }));
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  const prefix = join(folder, "prefix");
  await ok(start(["npm", "install", "--global", "--prefix", prefix, "--no-audit", "--no-fund", join(folder, archive ?? "")], { cwd: folder }));
  const installed = join(prefix, "lib/node_modules/gantry");
  assert.ok(!existsSync(join(installed, "src")), "sources are bundled, not shipped");
  const first = await collect(spawn(join(prefix, "bin/gantry"), ["--version"], { env: { ...process.env, PATH: tools(["node", "npm"]) } }), setUpMs);
  assert.equal(first.code, 0, `prebuilt parts need no compiler: ${first.stderr}`);
  assert.match(first.stdout, /version/i);
  rmSync(join(installed, "build/native/gantry.node"));
  rmSync(join(installed, "build/ready"));
  const again = await collect(spawn(join(prefix, "bin/gantryd"), ["--version"]), setUpMs);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /native parts/);
});

/** What a clone of this checkout would hold, changes that are not committed yet too. */
function copySources(target: string): void {
  const files = execFileSync("git", ["-C", project, "ls-files", "-co", "--exclude-standard", "-z"], { encoding: "utf8" }).split("\0");
  for (const file of files.filter((name) => name !== "" && existsSync(join(project, name)))) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    cpSync(join(project, file), join(target, file));
  }
}

/** The clone once more, by hard links, without some of its parts. */
function half(name: string, without: string[]): string {
  const copy = join(folder, name);
  execFileSync("cp", ["-al", clone, copy]);
  for (const part of without) rmSync(join(copy, part), { recursive: true, force: true });
  return copy;
}

/** A PATH with the base system's tools, and of the others only those named. */
function tools(names: string[]): string {
  const path = mkdtempSync(join(folder, "path-"));
  const base = ["cat", "cut", "date", "find", "flock", "head", "id", "kill", "ln", "mkdir", "mv", "printf", "pwd", "readlink", "rm", "sed", "sh", "sha256sum", "sleep", "sort", "tail", "uname", "xargs"];
  for (const name of [...base, ...names]) {
    const program = execFileSync("sh", ["-c", 'command -v "$1"', "sh", name], { encoding: "utf8" }).trim();
    if (program.startsWith("/")) symlinkSync(program, join(path, name));
  }
  return path;
}

function start(argv: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; detached?: boolean } = {}): ChildProcess {
  const cwd = options.cwd ?? clone;
  const program = argv[0] ?? "";
  return spawn(program.startsWith("bin/") ? join(cwd, program) : program, argv.slice(1), { cwd, env: { ...process.env, ...options.env }, detached: options.detached ?? false, stdio: ["ignore", "pipe", "pipe"] });
}

async function ok(child: ChildProcess): Promise<Outcome> {
  const outcome = await collect(child, setUpMs);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome;
}

function timed(argv: string[]): number {
  const began = performance.now();
  execFileSync(argv[0] ?? "", argv.slice(1));
  return performance.now() - began;
}
