/**
 * What images, containers and other users of the machine try against the daemon. Each attack has its control: the naive way of
 * doing the same is fallen for, so that the attack would be seen.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { lockRoot } from "../../src/cmd/daemon/root-lock.ts";
import type { Json } from "../harness/api.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";
import { compiled, type Programs, withoutCompiler } from "./programs.ts";

/** In the daemon's environment: no container may know it. */
const token = "GANTRY_TEST_TOKEN";
const secret = "the daemon's secret";

let engine: Engine;
let programs: Programs | undefined;
before(async () => {
  engine = await startedEngine({ env: { [token]: secret } });
  if (!withoutCompiler) programs = compiled();
});
after(async () => {
  programs?.[Symbol.dispose]();
  await endEngine(engine);
});

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

/** Busybox's root file system as a folder, and how it becomes an image. */
function rootfs(name: string): { folder: string; toImage: () => Promise<void> } {
  const folder = join(engine.machine.folder, `rootfs-${name}`);
  mkdirSync(folder);
  execFileSync("tar", ["-x", "--same-owner", "-C", folder], { input: busyboxImage() });
  const toImage = async (): Promise<void> => {
    const body = execFileSync("tar", ["--numeric-owner", "-C", folder, "-c", "."], { maxBuffer: 1 << 28 });
    const { status, body: said } = await engine.api.send("POST", `/images/create?fromSrc=-&repo=${name}`, { body, headers: { "content-type": "application/x-tar" } });
    assert.ok(status === 200 && !said.includes('"error"'), said.toString());
  };
  return { folder, toImage };
}

/** Runs a container to its end; what it printed. */
async function run(config: object): Promise<string> {
  const { Id } = await api("POST", "/containers/create", { Image: "busybox", Tty: true, ...config });
  try {
    await api("POST", `/containers/${Id}/start`);
    await api("POST", `/containers/${Id}/wait`);
    const { body } = await engine.api.send("GET", `/containers/${Id}/logs?stdout=1&stderr=1`);
    return body.toString().replaceAll("\r\n", "\n");
  } finally {
    await api("DELETE", `/containers/${Id}?force=1&v=1`);
  }
}

/** Files below a folder that the user nobody can read, who knows all their names. */
function readable(folder: string): string[] {
  // What goes while it looks is nothing to find.
  const names = execFileSync("sh", ["-c", 'find "$0" -type f 2>/dev/null || true', folder], { maxBuffer: 1 << 26 });
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  return execFileSync("setpriv", [...nobody, "sh", "-c", 'while read -r name; do if [ -r "$name" ]; then echo "$name"; fi; done'], { input: names, encoding: "utf8", maxBuffer: 1 << 26 }).split("\n").filter(Boolean);
}

test("other users of the machine find nothing in the daemon's folders (CVE-2021-41091, CVE-2021-41103, CVE-2024-25621)", async () => {
  await api("POST", "/containers/create?name=kept", { Image: "busybox", Cmd: ["sh", "-c", "echo private >/private; echo said; sleep 600"], HostConfig: { Binds: ["kept-volume:/v"] } });
  await api("POST", "/containers/kept/start");
  // The test's own folder is closed to others, unlike /var/lib and /run.
  for (const folder of [engine.machine.folder, dirname(engine.dataRoot)]) chmodSync(folder, 0o755);
  try {
    for (const folder of [engine.dataRoot, engine.execRoot]) assert.deepEqual(readable(folder), []);
    for (const path of [engine.socket, ...socketsBelow(engine.execRoot)]) assert.notEqual(spawnSync("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, "-e", `require("net").connect(${JSON.stringify(path)}).on("error", () => process.exit(3)).on("connect", () => process.exit(0))`]).status, 0, path);
    // Control: the same walk over a copy with the modes that those engines had.
    const copy = join(engine.machine.folder, "open");
    execFileSync("sh", ["-c", 'cp -a "$0" "$1" 2>/dev/null; find "$1" -type d -exec chmod 755 {} +', engine.dataRoot, copy]);
    assert.ok(readable(copy).some((path) => path.endsWith("/bin/busybox")), "the walk finds nothing anyway");
  } finally {
    chmodSync(engine.machine.folder, 0o700);
    await api("DELETE", "/containers/kept?force=1");
    await api("DELETE", "/volumes/kept-volume");
  }
});

function socketsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)).filter((path) => lstatSync(path).isSocket());
}

test("other users of the machine cannot hold the daemon's locks", { skip: withoutCompiler }, async () => {
  const folder = join(engine.machine.folder, "locked");
  mkdirSync(folder);
  chmodSync(engine.machine.folder, 0o755);
  const attempt = async (): Promise<{ held: boolean; end: () => Promise<void> }> => {
    const child = spawn("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", programs!.attacks, "hold-lock", join(folder, "gantryd.lock")], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const held = await Promise.race([once(child.stdout, "data").then(() => true), ended.then(() => false)]);
    return { held, end: async () => void (child.stdin.end(), await ended) };
  };
  try {
    lockRoot(folder)[Symbol.dispose]();
    assert.equal((await attempt()).held, false);
    lockRoot(folder)[Symbol.dispose]();
    // Control: what everybody can read, everybody can lock. Such a file of an earlier version is closed to others.
    chmodSync(join(folder, "gantryd.lock"), 0o644);
    const other = await attempt();
    assert.ok(other.held);
    assert.throws(() => lockRoot(folder), /in use by another/);
    await other.end();
    lockRoot(folder)[Symbol.dispose]();
    assert.equal((await attempt()).held, false);
  } finally {
    chmodSync(engine.machine.folder, 0o700);
  }
});

test("a container's own programs and libraries never run outside of it (CVE-2014-9357, CVE-2019-14271)", { skip: withoutCompiler }, async () => {
  const { folder, toImage } = rootfs("trojan");
  for (const name of ["etc", "lib", "lib64", "usr/bin", "sbin"]) mkdirSync(join(folder, name), { recursive: true });
  // Every program that an engine might ask for leaves its name, wherever it runs.
  const decoys = ["tar", "xz", "unxz", "bzip2", "gzip", "unpigz", "zstd", "ps", "id", "getent", "sh", "nsenter"];
  for (const name of decoys) writeFileSync(join(folder, "usr/bin", name), `#!/bin/busybox sh\necho ${name} >>/marker\n`, { mode: 0o755 });
  writeFileSync(join(folder, "etc/nsswitch.conf"), "passwd: hostile\ngroup: hostile\n");
  copyFileSync(programs!.hostileNss, join(folder, "lib/libnss_hostile.so.2"));
  await toImage();
  await api("POST", "/containers/create?name=trojan", { Image: "trojan", Cmd: ["/bin/busybox", "sleep", "600"], Env: ["PATH=/usr/bin:/bin"] });
  await api("POST", "/containers/trojan/start");
  const body = execFileSync("tar", ["-C", join(folder, "etc"), "-cJ", "passwd"], { env: { ...process.env, XZ_OPT: "-0" } });
  for (const bytes of [body, busyboxImage()]) {
    const { status, body: said } = await engine.api.send("PUT", "/containers/trojan/archive?path=/tmp", { body: bytes, headers: { "content-type": "application/x-tar" } });
    assert.equal(status, 200, said.toString());
  }
  for (const path of ["/containers/trojan/archive?path=/etc", "/containers/trojan/export", "/containers/trojan/changes", "/containers/trojan/top", "/containers/trojan/stats?stream=0"]) assert.equal((await engine.api.send("GET", path)).status, 200, path);
  const { Id } = await api("POST", "/containers/trojan/exec", { Cmd: ["/bin/busybox", "true"], User: "user:wheel" });
  await api("POST", `/exec/${Id}/start`, { Detach: true });
  await api("POST", "/commit?container=trojan&repo=trojan-committed");
  for (const marker of ["/marker", join(engine.dataRoot, "marker")]) assert.ok(!existsSync(marker));
  assert.equal((await engine.api.send("HEAD", "/containers/trojan/archive?path=/marker")).status, 404, "something ran in the container's root");
  await api("DELETE", "/containers/trojan?force=1");
  for (const image of ["trojan-committed", "trojan"]) await api("DELETE", `/images/${image}`);
  // Control: what those engines did, chroot and then a program by its name, or the C library's look for a user.
  execFileSync("chroot", [folder, "xz"], { env: { PATH: "/usr/bin:/bin:/usr/sbin" } });
  assert.equal(readFileSync(join(folder, "marker"), "utf8"), "xz\n");
  execFileSync("rm", [join(folder, "marker")]);
  execFileSync(programs!.lookup, [folder, "user"]);
  assert.ok(existsSync(join(folder, "marker")));
});

test("an image's links at /etc/hosts and its neighbours lead nobody to the host's files (CVE-2025-9566)", async () => {
  const canary = join(engine.machine.folder, "hosts-canary");
  mkdirSync(canary);
  const names = ["hosts", "resolv.conf", "hostname", "mtab"];
  for (const name of names) writeFileSync(join(canary, name), "of the host");
  const { folder, toImage } = rootfs("linked");
  for (const name of names) symlinkSync(join(canary, name), join(folder, "etc", name));
  await toImage();
  const output = await run({ Image: "linked", Cmd: ["sh", "-c", "echo 192.0.2.1 x >>/etc/hosts; echo y >/etc/hostname; cat /etc/hosts /etc/hostname /etc/resolv.conf"], HostConfig: { ExtraHosts: ["box:192.0.2.7"] } });
  assert.match(output, /192\.0\.2\.7\s+box/);
  assert.doesNotMatch(output, /of the host/);
  for (const name of names) assert.equal(readFileSync(join(canary, name), "utf8"), "of the host", name);
  await api("DELETE", "/images/linked");
  // Control: written by its name.
  writeFileSync(join(folder, "etc/hosts"), "evil");
  assert.equal(readFileSync(join(canary, "hosts"), "utf8"), "evil");
});

test("an environment's names and values are only that (CVE-2020-14370, CVE-2026-57231)", async () => {
  const lines = "x\nroot2::0:0::/:/bin/sh";
  const output = await run({ Cmd: ["sh", "-c", "tr '\\0' '\\n' </proc/1/environ; echo --; cat /etc/passwd"], Env: [token, `A=${lines}`] });
  const [environment, passwd] = output.split("--\n");
  assert.ok(!environment!.includes(secret));
  assert.match(environment!, /^A=x\nroot2::0:0::\/:\/bin\/sh$/m);
  assert.doesNotMatch(passwd!, /root2/);
  for (const { program } of clients()) if (program !== undefined) assert.ok(!(await new Cli(program, engine).ok("run", "--rm", "-e", token, "busybox", "env")).includes(secret));
  // Control: whoever inherits the daemon's environment has it, and a line of passwd that is made from such a value is two.
  assert.ok(engine.machine.run("cat", `/proc/${engine.pid()}/environ`).includes(secret));
  assert.match(`user:x:1000:1000::${lines}:/bin/sh`, /^root2/m);
});

test("what a container prints stays one record for each line, and never another's", async () => {
  const forged = '{"log":"forged\\n","stream":"stdout","time":"2000-01-01T00:00:00Z"}';
  const script = `printf '%s\\n' 'x","stream":"stderr","log":"y' '${forged}' '\\u000a' ; printf 'a\\001\\033[2J\\377\\n'; printf '\\r\\n'; printf '%s' '"}'; printf '\\n${forged.replaceAll("\\n", "")}'`;
  await api("POST", "/containers/create?name=forger", { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: { LogConfig: { Type: "json-file", Config: {} } } });
  await api("POST", "/containers/forger/start");
  await api("POST", "/containers/forger/wait");
  const { LogPath } = await api("GET", "/containers/forger/json");
  const records = readFileSync(LogPath, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as { stream: string; time: string; log: string });
  assert.equal(records.length, 7);
  for (const { stream, time } of records) assert.ok(stream === "stdout" && !time.startsWith("2000"), JSON.stringify({ stream, time }));
  await api("DELETE", "/containers/forger");
  // Control: with a writer that puts the text between quotes, it is another stream's.
  const naive = `{"stream":"stdout","log":"${'x","stream":"stderr","log":"y'}"}`;
  assert.equal((JSON.parse(naive) as { stream: string }).stream, "stderr");
});

test("on the host's network, no socket of the engine answers a container (CVE-2020-15257)", { skip: withoutCompiler }, async () => {
  const { folder, toImage } = rootfs("caller");
  copyFileSync(programs!.attacks, join(folder, "bin/attacks"));
  chownSync(join(folder, "bin/attacks"), 0, 0);
  await toImage();
  const { Id } = await api("POST", "/containers/create", { Image: "busybox", Cmd: ["sleep", "600"] });
  await api("POST", `/containers/${Id}/start`);
  const listener = engine.machine.spawn([programs!.attacks, "listen", "gantry-control"], { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise((resolve) => listener.stdout!.once("data", resolve));
  const output = await run({ Image: "caller", Cmd: ["attacks", "connect-all"], HostConfig: { NetworkMode: "host", CapAdd: ["ALL"] } });
  listener.stdin!.end();
  const reached = output.split("\n").filter((line) => line.startsWith("reached "));
  // Control: the abstract socket of somebody else is reached.
  assert.deepEqual(reached, ["reached @gantry-control"]);
  assert.ok(output.includes(engine.socket), "the probe saw the engine's sockets");
  await api("DELETE", `/containers/${Id}?force=1`);
  await api("DELETE", "/images/caller");
});
