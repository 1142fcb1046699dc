/** gantry-runtime killed at any moment of a create: `delete --force` removes all that it left, and the id is free again. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../src/lib/eventually.testing.ts";
import { nativeDir } from "../../src/sys/addon.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

interface Way {
  program: string;
  /** Before gantry-runtime's own. */
  args: string[];
  /** Kills come this much later, each. */
  stepMs: number;
}

const installed = join(nativeDir, "gantry-runtime");
const tries = 12;
const ways: Record<string, Way> = {
  "the command as it is installed": { program: installed, args: [], stepMs: 2 },
  "the command on Node": { program: process.execPath, args: [join(import.meta.dirname, "../../src/cmd/gantry-runtime.ts")], stepMs: 12 },
};

for (const [name, { program, args, stepMs }] of Object.entries(ways)) {
  test(`a create that is killed leaves nothing that delete --force does not remove: ${name}`, { skip }, async () => {
    using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
    const state = join(bundle.folder, "state");
    mkdirSync(state);
    const residents = mkdtempSync(join(tmpdir(), "gantry-killed-test-"));
    try {
      const line = [...args, "--root", state, "create", "--bundle", bundle.folder, bundle.id];
      const env = { ...process.env, GANTRY_RESIDENT: residents };
      let whole = 0;
      for (let round = 0; round < tries; round++) {
        const child = spawn(program, line, { stdio: "ignore", env });
        const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
        await sleep(round * stepMs);
        child.kill("SIGKILL");
        if ((await ended) === 0) whole++;
        const deleted = spawnSync(installed, ["--root", state, "delete", "--force", bundle.id], { encoding: "utf8", env });
        assert.equal(deleted.status, 0, deleted.stderr);
        // gantry-shim undoes what it is at when it finds its caller gone.
        await until("nothing is left behind", () => bundle.groups().length === 0 && readdirSync(state).length === 0);
      }
      assert.ok(whole < tries, "no create was killed");
      assert.equal(bundle.runtime("create", "--bundle", bundle.folder, bundle.id).status, 0);
    } finally {
      // Their resident process ends with it.
      rmSync(residents, { recursive: true });
    }
  });
}
