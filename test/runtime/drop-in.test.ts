/** gantry-runtime in runc's place: other people's engines start, use and remove containers with it. Each is tested where it is installed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { which } from "../harness/cli.ts";
import { endEngine, project, startedEngine } from "../harness/engine.ts";
import type { Engine } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";
import { Bundle, skip } from "./bundle.ts";

const runtime = join(project, "bin/gantry-runtime");
const missing = (...programs: string[]): string | false => skip || programs.filter((program) => which(program) === undefined).map((program) => `needs ${program}`).join(", ") || false;

/** In the machine; whether it succeeds, and all that it prints. */
function call(machine: Machine, argv: string[]): { ok: boolean; text: string } {
  const [program, args] = machine.command(argv);
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 300_000 });
  return { ok: status === 0, text: `${stdout}${stderr}`.trim() };
}

/* ---- dockerd ---- */

async function create(engine: Engine, body: object): Promise<string> {
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", ...body } });
  return Id;
}

/** Code and output of a container that ends by itself. */
async function run(engine: Engine, body: object): Promise<{ code: number; output: string }> {
  const id = await create(engine, { Tty: true, ...body });
  await engine.api.json("POST", `/containers/${id}/start`);
  const { StatusCode } = await engine.api.json("POST", `/containers/${id}/wait`);
  const { body: output } = await engine.api.send("GET", `/containers/${id}/logs`, { query: { stdout: true, stderr: true } });
  await engine.api.json("DELETE", `/containers/${id}`);
  return { code: StatusCode, output: output.toString().replaceAll("\r", "") };
}

async function exec(engine: Engine, id: string, body: object): Promise<{ code: number; output: string }> {
  const { Id } = await engine.api.json("POST", `/containers/${id}/exec`, { json: { AttachStdout: true, AttachStderr: true, Tty: true, ...body } });
  const { body: output } = await engine.api.send("POST", `/exec/${Id}/start`, { json: { Tty: true } });
  const { ExitCode } = await engine.api.json("GET", `/exec/${Id}/json`);
  return { code: ExitCode, output: output.toString().replaceAll("\r", "") };
}

async function useContainers(engine: Engine, HostConfig: object): Promise<void> {
  assert.deepEqual(await run(engine, { Cmd: ["sh", "-c", "echo out; exit 3"], HostConfig }), { code: 3, output: "out\n" });
  assert.match((await run(engine, { Cmd: ["sh", "-c", "touch /a; touch /t/b && cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; id -u"], User: "7", HostConfig: { ...HostConfig, ReadonlyRootfs: true, Tmpfs: { "/t": "mode=777" }, Memory: 64 << 20 } })).output, /Read-only file system[^]*\n67108864\n[^]*7\n$/);
  assert.equal((await run(engine, { Cmd: ["true"], HostConfig: { ...HostConfig, Privileged: true, NetworkMode: "host", PidMode: "host", IpcMode: "host" } })).code, 0);
  const bad = await create(engine, { Cmd: ["/no/such/program"], HostConfig });
  const refused = await engine.api.send("POST", `/containers/${bad}/start`);
  assert.deepEqual([refused.status, /\/no\/such\/program.*no such file or directory/.test(refused.body.toString())], [400, true], refused.body.toString());
  await engine.api.json("DELETE", `/containers/${bad}`);

  const id = await create(engine, { Cmd: ["sleep", "1000"], HostConfig });
  await engine.api.json("POST", `/containers/${id}/start`);
  assert.deepEqual(await exec(engine, id, { Cmd: ["sh", "-c", "tty; id -u; exit 4"], User: "9" }), { code: 4, output: "/dev/pts/0\n9\n" });
  const { Processes } = await engine.api.json("GET", `/containers/${id}/top`);
  assert.match(String(Processes), /sleep 1000/);
  await engine.api.json("POST", `/containers/${id}/pause`);
  assert.equal((await engine.api.json("GET", `/containers/${id}/json`)).State.Status, "paused");
  await engine.api.json("POST", `/containers/${id}/unpause`);
  await engine.api.json("POST", `/containers/${id}/update`, { json: { Memory: 32 << 20, MemorySwap: 64 << 20 } });
  assert.match((await exec(engine, id, { Cmd: ["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"] })).output, /^33554432$/m);
  await engine.api.json("POST", `/containers/${id}/restart`, { query: { t: 0 } });
  assert.equal((await exec(engine, id, { Cmd: ["true"] })).code, 0);
  await engine.api.json("POST", `/containers/${id}/stop`, { query: { t: 1 } });
  const { State } = await engine.api.json("GET", `/containers/${id}/json`);
  assert.deepEqual([State.Status, State.ExitCode], ["exited", 137]);
  await engine.api.json("DELETE", `/containers/${id}`);
}

test("dockerd: --add-runtime and --default-runtime", { skip: missing("dockerd", "containerd", "iptables") }, async () => {
  const engine = await startedEngine({ program: "dockerd", flags: ["--add-runtime", `gantry=${runtime}`, "--default-runtime", "gantry"] });
  try {
    assert.equal((await engine.api.json("GET", "/info")).DefaultRuntime, "gantry");
    assert.equal((await run(engine, { Cmd: ["true"], HostConfig: { Runtime: "runc" } })).code, 0);
    assert.equal((await run(engine, { Cmd: ["true"], HostConfig: { Runtime: "gantry" } })).code, 0);
    await useContainers(engine, {});
  } finally {
    await endEngine(engine);
  }
});

/* ---- containerd ---- */

async function startContainerd(machine: Machine): Promise<string> {
  const folder = join(machine.folder, "containerd");
  mkdirSync(folder);
  const socket = join(folder, "grpc.sock");
  const names = ["grpc.v1.cri", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper", "snapshotter.v1.zfs"].map((name) => JSON.stringify(`io.containerd.${name}`));
  writeFileSync(join(folder, "config.toml"), `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\ndisabled_plugins = [${names.join(", ")}]\n[grpc]\naddress = "${socket}"\n[ttrpc]\naddress = "${folder}/ttrpc.sock"\n`);
  machine.spawn(["containerd", "--config", join(folder, "config.toml")], { stdio: "ignore" });
  await until("containerd", () => existsSync(socket) && call(machine, ["ctr", "-a", socket, "version"]).ok);
  return socket;
}

test("containerd: its shim for runc, pointed at gantry-runtime", { skip: missing("containerd", "ctr", "containerd-shim-runc-v2") }, async () => {
  await using machine = await Machine.create();
  using bundle = new Bundle();
  const socket = await startContainerd(machine);
  const ctr = (...args: string[]): { ok: boolean; text: string } => call(machine, ["ctr", "-a", socket, ...args]);
  const made = ["--runc-binary", runtime, "--rootfs", bundle.rootfs];
  assert.deepEqual(ctr("run", "--rm", ...made, "one", "/bin/sh", "-c", "echo out"), { ok: true, text: "out" });
  assert.equal(ctr("run", "--detach", ...made, "two", "/bin/sleep", "1000").ok, true);
  assert.deepEqual(ctr("task", "exec", "--exec-id", "e", "two", "/bin/echo", "in", "exec"), { ok: true, text: "in exec" });
  assert.equal(ctr("task", "exec", "--exec-id", "f", "two", "/bin/false").ok, false);
  assert.match(ctr("task", "metrics", "two").text, /pids.current/);
  assert.match(ctr("task", "ps", "two").text, /^PID\s+INFO\s+\d+\s+-$/);
  assert.equal(ctr("task", "pause", "two").ok, true);
  assert.match(ctr("task", "ls").text, /two\s+\d+\s+PAUSED/);
  assert.equal(ctr("task", "resume", "two").ok, true);
  assert.equal(ctr("task", "kill", "--signal", "KILL", "two").ok, true);
  await until("the end of the task", () => /two\s+\d+\s+STOPPED/.test(ctr("task", "ls").text));
  assert.equal(ctr("task", "rm", "two").ok, true);
  assert.deepEqual(ctr("container", "rm", "two"), { ok: true, text: "" });
});

/* ---- podman ---- */

test("podman: --runtime", { skip: missing("podman", "conmon") }, async () => {
  await using machine = await Machine.create();
  using bundle = new Bundle();
  const folder = join(machine.folder, "podman");
  const podman = (...args: string[]): { ok: boolean; text: string } =>
    call(machine, ["podman", "--root", `${folder}/root`, "--runroot", `${folder}/run`, "--tmpdir", `${folder}/tmp`, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", runtime, ...args]);
  const made = ["--network", "none", "--rootfs", bundle.rootfs];
  assert.deepEqual(podman("run", "--rm", ...made, "/bin/sh", "-c", "echo out"), { ok: true, text: "out" });
  assert.equal(podman("run", "--detach", "--name", "two", ...made, "/bin/sleep", "1000").ok, true);
  assert.deepEqual(podman("exec", "two", "/bin/echo", "in", "exec"), { ok: true, text: "in exec" });
  assert.equal(podman("pause", "two").ok, true);
  assert.equal(podman("inspect", "--format", "{{.State.Status}}", "two").text, "paused");
  assert.equal(podman("unpause", "two").ok, true);
  assert.equal(podman("stop", "--time", "0", "two").ok, true);
  assert.equal(podman("start", "two").ok, true);
  assert.equal(podman("kill", "two").ok, true);
  await until("the end of the container", () => podman("inspect", "--format", "{{.State.Status}}", "two").text === "exited");
  assert.equal(podman("rm", "two").ok, true);
});
