/** Clones, snapshots, backups and restores of volumes, also of those that a container writes to. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Json } from "../harness/api.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let cli: Cli;
before(async () => {
  engine = await startedEngine();
  cli = new Cli(join(project, "bin/gantry"), engine);
});
after(async () => endEngine(engine));

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });
const folderOf = (name: string): string => join(engine.dataRoot, "volumes", name, "_data");
const file = (volume: string, name: string): string => readFileSync(join(folderOf(volume), name), "utf8");
const refused = async (status: number, message: RegExp, method: string, path: string, json?: object): Promise<void> => {
  const reply = await engine.api.send(method, path, json === undefined ? {} : { json });
  assert.equal(reply.status, status, reply.body.toString());
  assert.match(reply.body.toString(), message);
};

test("a clone has all that the volume has, and the volume's labels; rename moves both", async () => {
  await api("POST", "/volumes/create", { Name: "data", Labels: { kept: "1" } });
  const script = `cd ${folderOf("data")} && chmod 2750 . && chown 7:8 . && echo one > a && ln a b && ln -s a c && mkdir d && chown 5:6 d && touch d/e && mkfifo f`;
  engine.machine.run("sh", "-c", script);
  assert.equal(await cli.ok("volume", "clone", "--label", "more=2", "data", "copy"), "copy");
  const { Labels } = await api("GET", "/volumes/copy");
  assert.deepEqual(Labels, { kept: "1", more: "2" });
  const looks = (name: string): string => engine.machine.run("sh", "-c", `cd ${folderOf(name)} && find . -exec stat -c '%n %F %a %u:%g %h %Y' {} + | sort`);
  assert.equal(looks("copy"), looks("data"));
  await refused(409, /volume copy exists already/, "POST", "/volumes/data/clone", { Name: "copy" });
  await refused(400, /includes invalid characters/, "POST", "/volumes/data/clone", { Name: "../x" });
  await refused(404, /no such volume/, "POST", "/volumes/nosuch/clone", { Name: "other" });
  await cli.ok("volume", "rename", "copy", "moved");
  assert.equal(file("moved", "a"), "one\n");
  assert.ok(!existsSync(folderOf("copy")));
  assert.deepEqual((await api("GET", "/volumes/moved")).Labels, Labels);
  await refused(409, /volume data exists already/, "POST", "/volumes/moved/rename?name=data");
  await api("POST", "/containers/create?name=user", { Image: "busybox", HostConfig: { Binds: ["moved:/v"] } });
  await refused(409, /volume moved is in use/, "POST", "/volumes/moved/rename?name=free");
  await api("DELETE", "/containers/user");
  assert.equal(await cli.ok("volume", "update", "--label-add", "x=y", "--label-rm", "kept", "moved"), "moved");
  assert.deepEqual((await api("GET", "/volumes/moved")).Labels, { more: "2", x: "y" });
  await engine.stop();
  await engine.start();
  assert.deepEqual((await api("GET", "/volumes/moved")).Labels, { more: "2", x: "y" });
});

test("a snapshot of what a container writes is of one moment", async () => {
  await api("POST", "/volumes/create", { Name: "busy" });
  // Two files that are equal at every moment in which nobody writes: the second is written after the first.
  const script = "i=0; while :; do i=$((i+1)); echo $i > /v/1.new; mv /v/1.new /v/first; echo $i > /v/2.new; mv /v/2.new /v/second; done";
  await api("POST", "/containers/create?name=writer", { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: { Binds: ["busy:/v"] } });
  await api("POST", "/containers/writer/start");
  while (!existsSync(join(folderOf("busy"), "second"))) await new Promise((resolve) => setTimeout(resolve, 10));
  for (let round = 0; round < 5; round++) {
    const snapshot = await cli.ok("volume", "snapshot", "busy");
    assert.match(snapshot, /^busy-\d{8}T\d{9}Z$/);
    assert.equal((await api("GET", `/volumes/${snapshot}`)).Labels["gantry.volume.snapshot-of"], "busy");
    const ahead = Number(file(snapshot, "first")) - Number(file(snapshot, "second"));
    assert.ok(ahead === 0 || ahead === 1, `${ahead} ahead`);
    await api("DELETE", `/volumes/${snapshot}`);
  }
  const moved = (): number => Number(file("busy", "first"));
  const now = moved();
  while (moved() === now) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal((await api("GET", "/containers/writer/json")).State.Status, "running");
  await refused(409, /in use by running containers/, "PUT", "/volumes/busy/archive");
  await api("DELETE", "/containers/writer?force=1");
});

test("backups, whole and of changes, and what they restore", async () => {
  const folder = join(engine.machine.folder, "backups");
  mkdirSync(folder);
  await api("POST", "/volumes/create", { Name: "source" });
  engine.machine.run("sh", "-c", `cd ${folderOf("source")} && chown 70:70 . && echo old > changed && echo same > same && echo gone > removed && mkdir kept && echo .wh > .wh.odd`);
  await cli.ok("volume", "snapshot", "source", "source-1");
  await cli.ok("volume", "backup", "-o", join(folder, "full.tar"), "source-1");
  engine.machine.run("sh", "-c", `cd ${folderOf("source")} && echo newer > changed && rm removed && echo added > kept/added && chmod 600 same`);
  await cli.ok("volume", "backup", "--since", "source-1", "-o", join(folder, "changes.tar"), "source");
  assert.ok(statSync(join(folder, "changes.tar")).size < statSync(join(folder, "full.tar")).size);
  assert.deepEqual(execFileSync("tar", ["-tf", join(folder, "changes.tar")], { encoding: "utf8" }).trim().split("\n").filter((name) => !name.endsWith("/")).sort(), [".wh.removed", "changed", "kept/added", "same"]);
  assert.equal(await cli.ok("volume", "restore", "-i", join(folder, "full.tar"), "again"), "again");
  assert.deepEqual(readdirSync(folderOf("again")).sort(), [".wh.odd", "changed", "kept", "removed", "same"]);
  assert.equal(statSync(folderOf("again")).uid, 70);
  await cli.ok("volume", "restore", "--apply", "-i", join(folder, "changes.tar"), "again");
  assert.deepEqual(readdirSync(folderOf("again")).sort(), [".wh.odd", "changed", "kept", "same"]);
  assert.deepEqual([file("again", "changed"), file("again", "kept/added"), statSync(join(folderOf("again"), "same")).mode & 0o777], ["newer\n", "added\n", 0o600]);
  await cli.ok("volume", "restore", "-i", join(folder, "full.tar"), "again");
  assert.equal(file("again", "changed"), "old\n");
  writeFileSync(join(folder, "bad.tar"), "x".repeat(2048));
  const { code, stderr } = await cli.run(["volume", "restore", "-i", join(folder, "bad.tar"), "again"]);
  assert.notEqual(code, 0, stderr);
  assert.equal(file("again", "changed"), "old\n", "nothing changed");
  await cli.run(["volume", "restore", "-i", join(folder, "bad.tar"), "never"]);
  await refused(404, /no such volume/, "GET", "/volumes/never");
  writeFileSync(join(folderOf("source"), ".wh.new"), "");
  await refused(409, /by such names/, "GET", "/volumes/source/archive?since=source-1");
});

test("what the engine does not hold itself is refused by name", async () => {
  await api("POST", "/volumes/create", { Name: "memory", DriverOpts: { type: "tmpfs", device: "tmpfs" } });
  for (const [method, path] of [["POST", "clone"], ["POST", "snapshot"], ["POST", "rename?name=x"], ["GET", "archive"]] as const) await refused(501, /volume memory has options \(type, device\)/, method, `/volumes/memory/${path}`, { Name: "other" });
});
