import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../lib/eventually.testing.ts";
import { applyWrite } from "./apply.ts";
import { deviceProgram } from "./device-program.ts";
import type { DeviceRule } from "./device-rules.ts";
import { detectLayout } from "./layout.ts";

const root = detectLayout().hierarchies.find(({ version }) => version === 2)?.mountpoint ?? "";

/** Works in a group of its own. */
async function inGroup(work: (group: string) => void): Promise<void> {
  const group = join(root, `gantry-apply-${process.pid}`);
  mkdirSync(group);
  try {
    work(group);
  } finally {
    await eventually(() => rmdirSync(group));
  }
}

const char = (minor: number): DeviceRule => ({ allow: true, type: "c", major: 1, minor, access: "rw" });

/** Which of /dev/zero (1:5) and /dev/full (1:7) a process of the group may open. */
function openable(group: string): string[] {
  const script = 'echo 0 >"$1/cgroup.procs"; for name in zero full; do (exec 3</dev/$name) 2>/dev/null && echo $name; done; true';
  return spawnSync("sh", ["-c", script, "sh", group], { encoding: "utf8" }).stdout.split("\n").filter((line) => line !== "");
}

const use = (group: string, ...rules: DeviceRule[]): void => applyWrite({ kind: "deviceProgram", path: group, program: deviceProgram([{ allow: false, type: "a", major: -1, minor: -1, access: "rwm" }, char(3), ...rules]) });

/** Why they cannot be tried here. */
async function missing(): Promise<string | false> {
  if (process.getuid?.() !== 0 || root === "" || !existsSync(root)) return "needs root and cgroup v2";
  try {
    await inGroup(use);
    return false;
  } catch (error) {
    return `the kernel has no device programs: ${(error as Error).message}`;
  }
}

test("the device program of a group in use is replaced: what was denied is allowed, and the other way round", { skip: await missing() }, () =>
  inGroup((group) => {
    use(group);
    assert.deepEqual(openable(group), []);
    use(group, char(5));
    assert.deepEqual(openable(group), ["zero"]);
    use(group, char(7), char(5));
    assert.deepEqual(openable(group), ["zero", "full"]);
    use(group, char(7));
    assert.deepEqual(openable(group), ["full"]);
    assert.throws(() => use(`${group}/nosuch`), /failed to change the device rules of .*ENOENT/);
  }));
