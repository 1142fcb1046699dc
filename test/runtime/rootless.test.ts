/** A container of an ordinary user, without cgroups and without help of root. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { OciSpec } from "../../src/lib/oci-spec.ts";
import { rootless, exampleSpec } from "../../src/oci/cli/spec.ts";
import { Bundle, skip } from "./bundle.ts";

const user = 65_534;
const asUser = ["--reuid", String(user), "--regid", String(user), "--clear-groups"];
const entry = join(import.meta.dirname, "../../src/cmd/gantry-runtime.ts");
/** Namespaces of one's own, in which a proc can be mounted, and a checkout that everybody may read. */
const allowed = spawnSync("setpriv", [...asUser, "unshare", "-Urmpf", "mount", "-t", "proc", "proc", "/proc"]).status === 0 && spawnSync("setpriv", [...asUser, process.execPath, entry, "--version"]).status === 0;

test("run, exec, ps, state, kill and delete as an ordinary user", { skip: skip || (allowed ? false : "ordinary users may not make such namespaces here, or not read this checkout") }, () => {
  using bundle = new Bundle();
  const runtime = join(bundle.folder, "user");
  mkdirSync(runtime);
  chmodSync(bundle.folder, 0o755);
  chmodSync(runtime, 0o777);
  const log = join(runtime, "log");
  const as = (...args: string[]): { status: number | null; output: string } => {
    // A detached container keeps what it got as its output.
    const { status } = spawnSync("setpriv", [...asUser, "sh", "-c", 'exec "$@" >"$0" 2>&1 </dev/null', log, process.execPath, entry, ...args], { cwd: bundle.folder, env: { PATH: process.env["PATH"], XDG_RUNTIME_DIR: runtime }, timeout: 300_000 });
    return { status, output: readFileSync(log, "utf8") };
  };
  const configure = (args: string[], change: Partial<NonNullable<OciSpec["linux"]>> = {}): void => {
    const spec = rootless(exampleSpec("v1"), [user, user]);
    writeFileSync(join(bundle.folder, "config.json"), JSON.stringify({ ...spec, root: { path: bundle.rootfs, readonly: true }, process: { ...spec.process!, terminal: false, env: ["PATH=/bin"], args }, linux: { ...spec.linux, ...change } }));
  };
  configure(["sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/setgroups; echo x >/dev/null && ls /dev/null"]);
  const { status, output } = as("run", "first");
  assert.equal(status, 0, output);
  assert.match(output, new RegExp(`^0\n\\s+0\\s+${user}\\s+1\ndeny\n/dev/null\n$`));
  configure(["sleep", "1000"]);
  assert.equal(as("run", "-d", "second").status, 0);
  assert.match(as("exec", "second", "id", "-u").output, /^0\n/);
  const pids = JSON.parse(as("ps", "-f", "json", "second").output) as number[];
  assert.equal(pids.length, 1);
  assert.match(as("state", "second").output, /"status": "running"/);
  assert.match(as("pause", "second").output, /no freezer cgroup/);
  assert.equal(as("delete", "--force", "second").status, 0);
  assert.match(as("state", "second").output, /container does not exist/);
  configure(["true"], { resources: { memory: { limit: 1 << 26 } } });
  assert.match(as("run", "third").output, /linux\.resources: this user may not make the cgroups/);
  configure(["true"], { namespaces: [{ type: "mount" }, { type: "uts" }], uidMappings: [], gidMappings: [] });
  assert.match(as("run", "fourth").output, /needs a user namespace/);
  assert.match(as("list", "-q").output, /^$/);
  rmSync(runtime, { recursive: true });
});
