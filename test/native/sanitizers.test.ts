import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const folder = mkdtempSync(join(tmpdir(), "gantry-sanitizers-"));

/** A compiler may come without its sanitizers' libraries. */
function missing(): string | false {
  writeFileSync(join(folder, "probe.c"), "int main(void) { return 0; }\n");
  try {
    execFileSync("cc", ["-fsanitize=address,undefined", "-o", join(folder, "probe"), join(folder, "probe.c")], { stdio: "ignore" });
    return false;
  } catch {
    return "cc cannot link with -fsanitize=address,undefined";
  }
}

test("what parses untrusted bytes stands a few seconds of fuzzing under sanitizers", { skip: missing() }, async () => {
  const script = join(import.meta.dirname, "../../native/check.sh");
  const output = await new Promise<string>((resolve, reject) => {
    execFile(script, ["2", folder], (error, stdout, stderr) => (error ? reject(new Error(`${stdout}${stderr}`, { cause: error })) : resolve(stdout)));
  });
  for (const target of ["fuzz_plan", "fuzz_launcher", "fuzz_shim", "fuzz_front", "fuzz_log", "fuzz_identity", "fuzz_tar", "fuzz_body"]) assert.match(output, new RegExp(`^${target}: \\d+ executions`, "m"));
  rmSync(folder, { recursive: true, force: true });
});
