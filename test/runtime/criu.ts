/** What tests of checkpoints have in common. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../src/lib/eventually.testing.ts";
import type { Bundle } from "./bundle.ts";
import { processOf, skip } from "./bundle.ts";

export const program = process.env["GANTRY_TEST_RUNTIME"] ?? process.execPath;
export const criu = (...args: string[]): boolean => spawnSync("criu", args, { stdio: "ignore" }).status === 0;
const works = skip === false && criu("check");
export const needsCriu = { skip: works ? false : skip || "needs a criu that works on this kernel (criu check)" };

export const counting = processOf(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/tmp/new; mv /tmp/new /tmp/count; sleep 0.1; done"]);
export const counted = (bundle: Bundle): number => Number(existsSync(join(bundle.rootfs, "tmp/count")) ? readFileSync(join(bundle.rootfs, "tmp/count"), "utf8") : 0);

export const countsPast = (bundle: Bundle, least: number): Promise<void> => until(`a count beyond ${least}`, () => counted(bundle) > least);

export function ok({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }): string {
  assert.equal(status, 0, stderr + stdout);
  return stdout;
}

export const imagesOf = (bundle: Bundle): string[] => ["--image-path", join(bundle.folder, "images"), "--work-path", join(bundle.folder, "work")];
