/** Launchers that end, and that are of another version of this program. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, closeSync, copyFileSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { until } from "../lib/eventually.testing.ts";
import { nativeDir } from "../sys/addon.ts";
import { cannotRun, TestBench } from "./runtime.testing.ts";

/** By its command line, which ends with its socket's path. */
function launcherOf({ execRoot }: TestBench): number | undefined {
  const own = `launcher\0${join(execRoot, "launcher.sock")}\0`;
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).find((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").endsWith(own);
    } catch {
      return false;
    }
  });
}

const openFile = ({ rootfs }: TestBench): number => openSync(join(rootfs, "etc/passwd"), "r");
const parentOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]);
/** It runs from memory. */
const runs = (pid: number, program: string): boolean => readFileSync(`/proc/${pid}/exe`).equals(readFileSync(program));

async function keeps(bench: TestBench, name: string, fd: number): Promise<boolean> {
  const other = bench.newRuntime();
  const fds = (await other.launcher.get(name)) ?? [];
  const isIt = fds.length === 1 && fstatSync(fds[0]!).ino === fstatSync(fd).ino;
  fds.forEach((each) => closeSync(each));
  await other.close();
  return isIt;
}

const ours = join(nativeDir, "gantry-shim");

describe("launcher", { skip: cannotRun }, () => {
  test("one that is killed is started again at once, and given again what it kept", async () => {
    await using bench = new TestBench();
    const { launcher } = bench.runtime;
    const fd = openFile(bench);
    await launcher.put("one", [fd]);
    await launcher.put("two", [fd]);
    await launcher.drop("two");
    const before = launcherOf(bench)!;
    process.kill(before, "SIGKILL");
    await until("there is another launcher", () => ![undefined, before].includes(launcherOf(bench)));
    await until("it keeps what was given", () => keeps(bench, "one", fd));
    assert.equal(await keeps(bench, "two", fd), false);
    await launcher.drop("one");
    closeSync(fd);
  });

  test("one of another version answers for what it keeps; the first start replaces it, and what it had forked serves on", async () => {
    await using bench = new TestBench();
    const old = join(bench.folder, "gantry-shim");
    copyFileSync(ours, old);
    // Behind what is loaded.
    appendFileSync(old, "old");
    mkdirSync(bench.execRoot, { recursive: true });
    execFileSync(old, ["launcher", join(bench.execRoot, "launcher.sock")]);
    const fd = openFile(bench);
    const earlier = bench.newRuntime();
    await earlier.launcher.put("one", [fd]);
    await earlier.close();

    const { runtime } = bench;
    const [kept = -1] = (await runtime.launcher.get("one")) ?? [];
    await runtime.launcher.put("one", [kept]);
    assert.ok(runs(launcherOf(bench)!, old), "it is asked as long as nothing is started");
    const tasks = await Promise.all([1, 2].map(() => runtime.create(bench.request(["sleep", "1000"]))));
    for (const { pid } of tasks) assert.ok(runs(parentOf(pid), ours));
    assert.ok(runs(launcherOf(bench)!, ours));
    assert.equal(await keeps(bench, "one", fd), true);
    for (const task of tasks) {
      await task.signal(9);
      await task.exited;
      await task.release();
    }
    await runtime.launcher.drop("one");
    [fd, kept].forEach((each) => closeSync(each));
  });
});
