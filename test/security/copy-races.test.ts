/**
 * A container exchanges folders of its root file system and of a volume for links to the host, by RENAME_EXCHANGE and as fast as a CPU
 * can, while files are copied in and out (CVE-2018-15664, CVE-2026-41568, CVE-2026-42306). GANTRY_RACE_TRIES sets how many rounds are
 * tried (`npm run test:races`: 10,000).
 *
 * The control: reading by the path's name, checked before as engines did, does give the host's file while it is swapped.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { compiled, type Programs, withoutCompiler } from "./programs.ts";

const asked = process.env["GANTRY_RACE_TRIES"];
const rounds = Number(asked ?? 150);
/** Unless somebody asked for a number, a machine that is busy with other things tries fewer. */
const SHORT_MS = 15_000;
/** Where the container swaps `real` and `link`. */
const places = ["/w", "/v"];

describe("copies race with a container", { skip: withoutCompiler }, () => {
  let engine: Engine;
  let programs: Programs;
  let canary: string;
  const folder = (name: string): string => {
    const path = join(engine.machine.folder, name);
    mkdirSync(path);
    return path;
  };
  before(async () => {
    programs = compiled();
    engine = await startedEngine();
    canary = folder("canary");
    writeFileSync(join(canary, "file"), "of the host\n");
    const tools = folder("tools");
    execFileSync("cc", ["-O1", "-static", "-o", join(tools, "swapper"), join(import.meta.dirname, "../runtime/swapper.c")]);
    copyFileSync(programs.attacks, join(tools, "attacks"));
    const prepare = places.map((place) => `mkdir -p ${place}/real; echo inside >${place}/real/file; ln -s ${canary} ${place}/link`).join("; ");
    await engine.api.json("POST", "/containers/create", { query: { name: "racer" }, json: { Image: "busybox", Cmd: ["sh", "-c", `${prepare}; exec /tools/swapper ${places.map((place) => `${place} real link`).join(" ")}`], HostConfig: { Binds: [`${tools}:/tools:ro`, "raced:/v"] } } });
    await engine.api.json("POST", "/containers/racer/start");
  });
  after(async () => {
    programs?.[Symbol.dispose]();
    if (engine) await endEngine(engine);
  });

  test("control: by its name, the host's file is read", async (context) => {
    const path = join(engine.dataRoot, "volumes/raced/_data/real/file");
    await until("the container is prepared", () => existsSync(path));
    const said = execFileSync(programs.attacks, ["copy-by-name", path, "10000000"], { encoding: "utf8" });
    context.diagnostic(said.trim());
    assert.match(said, /^made [1-9]\d*, escaped [1-9]/);
  });

  test("out of the container and into it: nothing of the host is read or written", async (context) => {
    const payload = folder("payload");
    writeFileSync(join(payload, "file"), "overwritten\n");
    writeFileSync(join(payload, "more"), "more\n");
    const body = execFileSync("tar", ["-C", payload, "-c", "."]);
    let [inside, attempts] = [0, 0];
    const end = performance.now() + SHORT_MS;
    for (let round = 0; round < rounds && (asked !== undefined || round < 20 || performance.now() < end); round++) {
      const place = places[round % 2]!;
      const got = await engine.api.send("GET", `/containers/racer/archive?path=${place}/real/${round % 4 < 2 ? "file" : "."}`);
      if (got.status === 200) inside++;
      assert.ok(!got.body.includes("of the host"));
      for (const path of [`${place}/real`, `${place}/link/.`]) await engine.api.send("PUT", `/containers/racer/archive?path=${path}`, { body, headers: { "content-type": "application/x-tar" } });
      attempts += 3;
    }
    assert.ok(inside > 0, "the race was never won by the honest state");
    assert.deepEqual(readdirSync(canary), ["file"]);
    assert.equal(readFileSync(join(canary, "file"), "utf8"), "of the host\n");
    context.diagnostic(`copies ${attempts}, escapes 0`);
  });
});
