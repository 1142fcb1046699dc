import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SubpathBinds } from "./subpath-binds.ts";

function withBinds(run: (binds: SubpathBinds, volume: string, dir: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), "gantry-parts-"));
  const binds = new SubpathBinds(join(dir, "parts"));
  try {
    const volume = join(dir, "volume");
    mkdirSync(join(volume, "a", "b"), { recursive: true });
    writeFileSync(join(volume, "a", "b", "file"), "deep");
    mkdirSync(join(dir, "outside"));
    run(binds, volume, dir);
  } finally {
    binds.sweep(() => false);
    rmSync(dir, { recursive: true, force: true });
  }
}

test("a part stays the same whatever happens to its name", () =>
  withBinds((binds, volume, dir) => {
    const [folder, file] = [binds.make("one", volume, "a/b"), binds.make("one", volume, "a/b/file")];
    renameSync(join(volume, "a"), join(volume, "moved"));
    symlinkSync(join(dir, "outside"), join(volume, "a"));
    writeFileSync(join(dir, "outside/secret"), "of the host");
    assert.deepEqual(readdirSync(join(volume, "a")), ["secret"], "the control: by its name it is another one");
    assert.deepEqual([readdirSync(folder), readFileSync(file, "utf8")], [["file"], "deep"]);
    binds.release("one");
    binds.release("one");
    assert.deepEqual(readdirSync(join(dir, "parts")), []);
    assert.equal(readFileSync(join(volume, "moved", "b", "file"), "utf8"), "deep");
  }));

test("links lead nowhere outside of the volume; what is missing is told", () =>
  withBinds((binds, volume, dir) => {
    symlinkSync(join(dir, "outside"), join(volume, "escape"));
    symlinkSync("escape", join(volume, "twice"));
    symlinkSync("a/../a/b", join(volume, "inside"));
    for (const path of ["escape", "twice", "../outside"]) assert.throws(() => binds.make("one", volume, path), { code: "EXDEV" });
    assert.throws(() => binds.make("one", volume, "missing"), { code: "ENOENT" });
    assert.deepEqual(readdirSync(binds.make("one", volume, "inside")), ["file"]);
  }));

test("parts of containers that do not run are swept away", () =>
  withBinds((binds, volume, dir) => {
    const kept = binds.make("runs", volume, "a");
    binds.make("ended", volume, "a");
    binds.sweep((id) => id === "runs");
    assert.deepEqual([readdirSync(join(dir, "parts")), readdirSync(kept)], [["runs"], ["b"]]);
  }));
