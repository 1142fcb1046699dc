/** Checkpoints that other engines take with gantry-runtime in runc's place. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { which } from "../harness/cli.ts";
import { endEngine, project, startedEngine } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";
import { Bundle, skip } from "./bundle.ts";

const runtime = join(project, "build/native/gantry-runtime");
const missing = (...programs: string[]): string | false =>
  skip || programs.filter((program) => which(program) === undefined).map((program) => `needs ${program}`).join(", ") || (spawnSync("criu", ["check"], { stdio: "ignore" }).status === 0 ? false : "needs a criu that works on this kernel (criu check)");

const counting = "i=0; while :; do i=$((i+1)); echo $i >/tmp/new; mv /tmp/new /tmp/count; sleep 0.1; done";

test("dockerd in its experimental mode", { skip: missing("dockerd", "containerd", "ctr", "iptables") }, async () => {
  const engine = await startedEngine({ program: "dockerd", flags: ["--experimental", "--add-runtime", `gantry=${runtime}`, "--default-runtime", "gantry"] });
  try {
    const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"] } });
    const last = async (): Promise<number> => Number((await engine.api.send("GET", `/containers/${Id}/logs`, { query: { stdout: true, tail: 1 } })).body.toString("latin1").slice(8));
    await engine.api.json("POST", `/containers/${Id}/start`);
    await until("a count", async () => (await last()) > 3);
    await engine.api.json("POST", `/containers/${Id}/checkpoints`, { json: { CheckpointID: "one", Exit: true } });
    await until("its end", async () => (await engine.api.json("GET", `/containers/${Id}/json`)).State.Status === "exited");
    const before = await last();
    // dockerd 20.10.24 cannot store what its own containerd still has of the checkpoint.
    const start = () => engine.api.send("POST", `/containers/${Id}/start`, { query: { checkpoint: "one" } });
    const stored = /content (sha256:\w+): already exists/.exec((await start()).body.toString())?.[1];
    if (stored !== undefined) {
      engine.machine.run("ctr", "-a", join(engine.execRoot, "containerd/containerd.sock"), "-n", "moby", "content", "rm", stored);
      const { status, body } = await start();
      assert.equal(status, 204, body.toString());
    }
    await until(`a count beyond ${before}`, async () => (await last()) > before);
    await engine.api.json("DELETE", `/containers/${Id}`, { query: { force: true } });
  } finally {
    await endEngine(engine);
  }
});

test("podman container checkpoint and restore", { skip: missing("podman", "conmon") }, async () => {
  await using machine = await Machine.create();
  using bundle = new Bundle();
  const folder = join(machine.folder, "podman");
  const podman = (...args: string[]): string => {
    const [program, argv] = machine.command(["podman", "--root", `${folder}/root`, "--runroot", `${folder}/run`, "--tmpdir", `${folder}/tmp`, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", runtime, ...args]);
    const { status, stdout, stderr } = spawnSync(program, argv, { encoding: "utf8", timeout: 300_000 });
    assert.equal(status, 0, stdout + stderr);
    return stdout.trim();
  };
  const count = (): number => (existsSync(join(bundle.rootfs, "tmp/count")) ? Number(readFileSync(join(bundle.rootfs, "tmp/count"), "utf8")) : 0);
  podman("run", "--detach", "--name", "one", "--network", "none", "--rootfs", bundle.rootfs, "/bin/sh", "-c", counting);
  await until("a count", () => count() > 3);
  podman("container", "checkpoint", "one");
  assert.equal(podman("inspect", "--format", "{{.State.Status}}", "one"), "exited");
  const before = count();
  podman("container", "restore", "one");
  await until(`a count beyond ${before}`, () => count() > before);
  podman("rm", "--force", "--time", "0", "one");
});
