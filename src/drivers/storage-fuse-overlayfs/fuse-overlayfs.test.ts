import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { snapshotterContract } from "../../core/snapshotter.contract.ts";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { until } from "../../lib/eventually.testing.ts";
import { create } from "./index.ts";

const missing = !existsSync("/dev/fuse") || spawnSync("fuse-overlayfs", ["--version"]).status !== 0 ? "needs fuse-overlayfs and /dev/fuse" : undefined;
const parent = `sha256:${"a".repeat(64)}`;

if (missing !== undefined) test("fuse-overlayfs", { skip: missing });
else {
  snapshotterContract("fuse-overlayfs", create, ([mount]) => {
    assert.ok(mount?.type === "bind");
    return { path: mount.source, [Symbol.dispose]: () => undefined };
  });

  test("fuse-overlayfs: a folder that was replaced is opaque, and nothing of how that is marked shows", () =>
    withContainer(async (snapshotter, root) => {
      {
        await using _mounted = await snapshotter.attach?.("container");
        rmSync(join(root, "folder"), { recursive: true });
        mkdirSync(join(root, "folder"));
        writeFileSync(join(root, "folder", "new"), "");
        assert.deepEqual(readdirSync(join(root, "folder")), ["new"]);
      }
      assert.deepEqual((await snapshotter.diff("container")).map(({ kind, path }) => `${kind} ${path}`), ["modified /folder", "added /folder/new", "deleted /folder/old"]);
      const chunks: Uint8Array[] = [];
      for await (const chunk of snapshotter.layer("container")) chunks.push(chunk);
      const names = execFileSync("tar", ["-t"], { input: Buffer.concat(chunks), encoding: "utf8" });
      assert.deepEqual(names.trim().split("\n"), ["folder/", "folder/.wh..wh..opq", "folder/new"]);
    }));

  test("fuse-overlayfs: the program outlives who started it, serves who has the mount, and ends with the last", () =>
    withContainer(async (snapshotter, root, dir) => {
      const attached = await snapshotter.attach?.("container");
      const [server] = serversOf(dir);
      assert.ok(server !== undefined);
      assert.notEqual(readFileSync(`/proc/${server}/stat`, "utf8").split(") ")[1]?.split(" ")[1], String(process.pid), "it is nobody's child here");
      // As a container has it: in a mount namespace of its own.
      const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", `echo in; until [ -e ${dir}/end ]; do sleep 0.1; done; cat ${root}/folder/old`], { stdio: ["ignore", "pipe", "inherit"] });
      holder.stdout.setEncoding("utf8");
      let said = "";
      holder.stdout.on("data", (text: string) => (said += text));
      await until("what it says", () => said === "in\n");
      await attached?.[Symbol.asyncDispose]();
      assert.deepEqual(readdirSync(root), [], "here it is gone");
      assert.deepEqual(serversOf(dir), [server]);
      writeFileSync(join(dir, "end"), "");
      await until("its program's end", () => serversOf(dir).length === 0);
      await until("what it says", () => said === "in\nold");
    }));

  test("fuse-overlayfs: what a daemon that died left mounted is taken away by the next one", () =>
    withContainer(async (snapshotter, root, dir) => {
      await snapshotter.attach?.("container");
      create(dir);
      assert.deepEqual(readdirSync(root), []);
      await until("its program's end", () => serversOf(dir).length === 0);
    }));

  test("fuse-overlayfs: sizes and unknown options are refused", () =>
    withContainer(async (snapshotter, _root, dir) => {
      assert.throws(() => snapshotter.limitFor({ size: "1G" }), { message: "--storage-opt is not supported" });
      assert.throws(() => create(dir, { options: ["x=y"] }), { message: "fuse-overlayfs: unknown option x" });
    }));
}

test("fuse-overlayfs: without the program the driver says what is missing", () => {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nowhere";
  try {
    assert.throws(() => create("/nowhere/layers"), { code: "unavailable", message: /needs the program fuse-overlayfs, which is not on PATH/ });
  } finally {
    process.env["PATH"] = path;
  }
});

async function withContainer(run: (snapshotter: Snapshotter, root: string, dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-fuse-"));
  const snapshotter = create(dir);
  try {
    await snapshotter.prepare("unpack-1");
    {
      await using target = await snapshotter.unpackTarget("unpack-1");
      mkdirSync(join(target.path, "folder"));
      writeFileSync(join(target.path, "folder", "old"), "old");
    }
    await snapshotter.commit("unpack-1", parent);
    await snapshotter.prepare("container", parent);
    const [mount] = snapshotter.mounts("container");
    assert.ok(mount?.type === "bind");
    await run(snapshotter, mount.source, dir);
  } finally {
    await snapshotter.remove("container");
    await snapshotter.settled();
    rmSync(dir, { recursive: true });
  }
}

/** Processes that serve mounts of this folder: their layers are open. */
const serversOf = (dir: string): string[] => readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/comm`).startsWith("fuse-overlayfs") && opened(pid).some((path) => path.startsWith(`${dir}/`)));

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function opened(pid: string): string[] {
  const { stdout } = spawnSync("sh", ["-c", `ls -l /proc/${pid}/fd`], { encoding: "utf8" });
  return stdout.split("\n").map((line) => line.split(" -> ")[1] ?? "");
}
