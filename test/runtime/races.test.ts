/**
 * Folders that a container shares with others change under its start: mount targets, masked paths and the working directory are
 * swapped with links to the host by RENAME_EXCHANGE, as fast as a CPU can. GANTRY_RACE_TRIES sets how many starts are tried
 * (`npm run test:races`: 10,000).
 *
 * The control: a mount by the path's name, checked before as engines did, does land on the host while it is swapped.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cannotRun, TestBench } from "../../src/oci/runtime.testing.ts";
import { SubpathBinds } from "../../src/sys/subpath-binds.ts";
import { compiled, withoutCompiler } from "../security/programs.ts";

const asked = process.env["GANTRY_RACE_TRIES"];
const tries = Number(asked ?? 150);
/** Unless somebody asked for a number, a machine that is busy with other things tries fewer. */
const SHORT_MS = 15_000;

function* rounds(most: number): Generator<number> {
  const end = performance.now() + SHORT_MS;
  for (let round = 0; round < most && (asked !== undefined || round < 20 || performance.now() < end); round++) yield round;
}
const skip = cannotRun || withoutCompiler;

describe("races with a swapper", { skip }, () => {
  let bench: TestBench;
  let shared: string;
  let host: string;
  let swapper: ChildProcess;
  before(async () => {
    bench = new TestBench();
    [shared, host] = [join(bench.folder, "shared"), join(bench.folder, "host")];
    for (const folder of ["real/inner", "spare"]) mkdirSync(join(shared, folder), { recursive: true });
    mkdirSync(join(host, "inner"), { recursive: true });
    for (const folder of [join(shared, "real"), host]) writeFileSync(join(folder, "secret"), folder === host ? "of the host" : "of the container");
    // Seen from inside it leads to nothing; followed from outside, to the host's folder.
    symlinkSync(host, join(shared, "link"));
    const program = join(bench.folder, "swapper");
    assert.equal(spawnSync("cc", ["-O1", "-o", program, join(import.meta.dirname, "swapper.c")], { stdio: "inherit" }).status, 0);
    swapper = spawn(program, [shared, "real", "link"], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve, reject) => swapper.stdout!.once("data", resolve).once("end", () => reject(new Error("the swapper ended"))));
  });
  after(async () => {
    swapper?.kill("SIGKILL");
    await bench?.[Symbol.asyncDispose]();
  });

  const untouched = (): void => {
    assert.deepEqual(readdirSync(host), ["inner", "secret"]);
    assert.deepEqual(readdirSync(join(host, "inner")), []);
    assert.equal(readFileSync(join(host, "secret"), "utf8"), "of the host");
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(host));
  };

  test("control: by its name, what is mounted lands on the host", (context) => {
    using programs = compiled();
    const said = execFileSync(programs.attacks, ["mount-by-name", join(shared, "real/inner"), join(host, "inner"), "200000"], { encoding: "utf8" });
    context.diagnostic(said.trim());
    assert.match(said, /^made [1-9]\d*, escaped [1-9]/);
  });

  test("a mount target, a masked path, a read-only path and the working directory: the host is never reached", async (context) => {
    let [made, refused] = [0, 0];
    for (const round of rounds(tries)) {
      made++;
      const result = await bench
        .run(["sh", "-c", "cat secret 2>&-; cat /data/real/secret /data/link/secret 2>&-; touch /data/real/inner/mark 2>&-; mkdir made 2>&-; true"], (spec) => {
          spec.mounts!.push({ destination: "/data", type: "bind", source: shared, options: ["bind"] });
          spec.mounts!.push({ destination: "/data/real/inner", type: "tmpfs", source: "tmpfs", options: ["nosuid"] });
          spec.mounts!.push({ destination: "/data/link/new", type: "tmpfs", source: "tmpfs", options: ["nosuid"] });
          spec.linux!.maskedPaths = ["/data/real/secret", "/data/link/secret"];
          spec.linux!.readonlyPaths = ["/data/real/inner", "/data/link/inner"];
          spec.process!.cwd = round % 2 === 0 ? "/data/real/work" : "/data/link";
        })
        .catch((error: Error) => error);
      if (result instanceof Error) refused++;
      else assert.ok(!result.stdout.includes("of the host"), result.stdout);
      untouched();
    }
    context.diagnostic(`starts ${made}, of them refused ${refused}, escapes 0`);
  });

  test("a part of a volume is never the host's", (context) => {
    const binds = new SubpathBinds(join(bench.folder, "parts"));
    let [made, refused] = [0, 0];
    for (const _ of rounds(tries * 5)) {
      made++;
      try {
        assert.equal(readFileSync(join(binds.make("racer", shared, "real"), "secret"), "utf8"), "of the container");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
        refused++;
      } finally {
        binds.release("racer");
      }
    }
    context.diagnostic(`parts ${made}, of them refused ${refused}, escapes 0`);
  });
});
