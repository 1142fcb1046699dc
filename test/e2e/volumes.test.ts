/** Volumes in a user's hands: they outlive containers and daemons, hold what images bring, and let nothing out. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));
beforeEach(async () => {
  for (const { Id } of await api("GET", "/containers/json?all=1")) await api("DELETE", `/containers/${Id}?force=1`);
  for (const { Name } of (await api("GET", "/volumes")).Volumes) await api("DELETE", `/volumes/${Name}?force=1`);
});

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });
const folderOf = (name: string): string => join(engine.dataRoot, "volumes", name, "_data");
const names = async (): Promise<string[]> => (await api("GET", "/volumes")).Volumes.map(({ Name }: Json) => Name).sort();
const mountsInside = (): string => readFileSync(`/proc/${engine.machine.pid}/mountinfo`, "utf8");

/** An image of busybox's root file system that `changes` and shell commands make different. */
async function image(name: string, { changes = [], commands = "true" }: { changes?: string[]; commands?: string }): Promise<void> {
  const folder = join(engine.machine.folder, `rootfs-${name}`);
  mkdirSync(folder);
  writeFileSync(join(engine.machine.folder, `${name}.tar`), busyboxImage());
  const script = `tar -x --same-owner -C "$1" -f "$2" && cd "$1" && ${commands} && tar --xattrs --xattrs-include='*' --numeric-owner -c -f "$2" .`;
  engine.machine.run("sh", "-c", script, "sh", folder, join(engine.machine.folder, `${name}.tar`));
  const query = { fromSrc: "-", repo: name, changes: ["CMD [\"sh\"]", ...changes] };
  const search = query.changes.map((change) => `changes=${encodeURIComponent(change)}`).join("&");
  const { status, body } = await engine.api.send("POST", `/images/create?fromSrc=-&repo=${name}&${search}`, { body: readFileSync(join(engine.machine.folder, `${name}.tar`)), headers: { "content-type": "application/x-tar" } });
  assert.ok(status === 200 && !body.includes('"error"'), body.toString());
}

/** Runs a container to its end; what it printed. */
async function run(config: object): Promise<{ code: number; output: string }> {
  const { Id } = await api("POST", "/containers/create", { Image: "busybox", Tty: true, ...config });
  await api("POST", `/containers/${Id}/start`);
  const { StatusCode } = await api("POST", `/containers/${Id}/wait`);
  const { body } = await engine.api.send("GET", `/containers/${Id}/logs?stdout=1&stderr=1`);
  await api("DELETE", `/containers/${Id}`);
  return { code: StatusCode, output: body.toString().replaceAll("\r\n", "\n").trim() };
}

const sh = (script: string, hostConfig: object = {}, config: object = {}): Promise<{ code: number; output: string }> => run({ Cmd: ["sh", "-c", script], HostConfig: hostConfig, ...config });

for (const { name, program } of clients()) {
  describe(`client ${name}`, { skip: program === undefined ? `no ${name} on PATH` : false }, () => {
    test("create, ls, inspect, use, rm, prune", async () => {
      const cli = new Cli(program!, engine);
      assert.equal(await cli.ok("volume", "create", "--label", "a=b", "data"), "data");
      assert.equal(await cli.ok("volume", "ls", "-q"), "data");
      assert.equal(await cli.ok("volume", "inspect", "--format", "{{.Mountpoint}} {{.Labels.a}}", "data"), `${folderOf("data")} b`);
      await cli.ok("run", "--name", "user", "-v", "data:/d", "-v", "/anonymous", "busybox", "sh", "-c", "echo kept > /d/file");
      assert.match((await cli.run(["volume", "rm", "data"])).stderr, /volume is in use - \[[0-9a-f]{64}\]/);
      assert.equal((await names()).length, 2);
      await cli.ok("rm", "-v", "user");
      assert.deepEqual(await names(), ["data"]);
      assert.equal(await cli.ok("run", "--rm", "--mount", "type=volume,src=data,dst=/d,readonly", "busybox", "cat", "/d/file"), "kept");
      assert.notEqual((await cli.run(["run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/x"])).code, 0);
      await cli.ok("run", "--rm", "-v", "/gone", "busybox", "touch", "/gone/x");
      assert.deepEqual(await names(), ["data"], "--rm removes anonymous volumes");
      await cli.ok("volume", "create");
      assert.match(await cli.ok("volume", "prune", "-f"), /^Deleted Volumes:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B$/);
      assert.match(await cli.ok("system", "df", "-v"), /^data +0 +5B$/m);
      assert.match(await cli.ok("volume", "prune", "-af"), /^Deleted Volumes:\ndata\n\nTotal reclaimed space: 5B$/);
    });
  });
}

test("an empty volume gets what the image has, with owners, modes and links; another one stays", async () => {
  await image("full", {
    commands: `mkdir -p data/sub && echo seed > data/seed && ln data/seed data/again && ln -s seed data/link && chown -R 1000:1001 data && chmod 2750 data && chmod 4711 data/seed`,
  });
  const listing = "cd /data; stat -c '%n %a %u:%g %h %s' . again seed sub; readlink link; cat seed";
  const expected = [". 2750 1000:1001 3", "again 4711 1000:1001 2 5", "seed 4711 1000:1001 2 5", "sub 755 1000:1001 2", "seed", "seed"];
  const { output } = await sh(listing, { Binds: ["fresh:/data"] }, { Image: "full" });
  assert.deepEqual(output.split("\n").map((line) => line.replace(/^(\.|sub)( .*) \d+$/, "$1$2")), expected);
  assert.equal((await sh("ls /data", { Binds: ["empty:/data:nocopy"] }, { Image: "full" })).output, "");
  await sh("echo mine > /other/file", { Binds: ["used:/other"] });
  assert.equal((await sh("ls /data", { Binds: ["used:/data"] }, { Image: "full" })).output, "file");
  await api("DELETE", "/images/full");
});

test("a hostile image copies nothing of the host and writes nothing to it", async () => {
  const canary = join(engine.machine.folder, "canary");
  mkdirSync(canary);
  writeFileSync(join(canary, "secret"), "of the host");
  await image("hostile", {
    changes: [`VOLUME ["/../../../etc", "/out", "/up", "/deep/in"]`],
    commands: `ln -s ${canary} out && ln -s ../../../../../../../..${canary} up && mkdir deep && ln -s /proc/1/root${canary} deep/in && ln -s loop2 loop && ln -s loop loop2 && echo inside > etc/inside`,
  });
  // Control: by their names, the links of the root file system lead to the host.
  for (const link of ["out", "up"]) assert.equal(readFileSync(join(engine.machine.folder, "rootfs-hostile", link, "secret"), "utf8"), "of the host");
  const { Id } = await api("POST", "/containers/create", { Image: "hostile", Cmd: ["sh", "-c", "cat /etc/inside; touch /etc/written"] });
  const { Mounts } = await api("GET", `/containers/${Id}/json`);
  assert.deepEqual(Mounts.map(({ Destination }: Json) => Destination), ["/deep/in", "/etc", "/out", "/up"]);
  for (const { Source, Destination } of Mounts) {
    assert.ok(Source.startsWith(join(engine.dataRoot, "volumes")), Source);
    assert.ok(!existsSync(join(Source, "secret")), `${Destination} has a file of the host`);
  }
  assert.ok(readdirSync(Mounts[1].Source).includes("inside"), "the positive control: what lies inside was copied");
  await engine.api.send("POST", `/containers/${Id}/start`);
  await engine.api.send("POST", `/containers/${Id}/wait`);
  await api("DELETE", `/containers/${Id}?force=1&v=1`);
  await assert.rejects(api("POST", "/containers/create", { Image: "hostile", Volumes: { "/loop": {} } }), /too many levels of symbolic links/);
  assert.deepEqual(await names(), []);
  assert.deepEqual(readdirSync(canary), ["secret"]);
  assert.equal(readFileSync(join(canary, "secret"), "utf8"), "of the host");
  for (const name of ["inside", "written"]) assert.ok(!existsSync(join("/etc", name)));
  await api("DELETE", "/images/hostile");
});

test("subpaths: of folders and files, never out of the volume", async () => {
  const canary = join(engine.machine.folder, "subpath-canary");
  mkdirSync(canary);
  writeFileSync(join(canary, "secret"), "of the host");
  await sh("mkdir -p /v/a/b && echo deep > /v/a/b/file", { Binds: ["tree:/v"] });
  symlinkSync(canary, join(folderOf("tree"), "escape"));
  const mount = (Subpath: string): object => ({ Mounts: [{ Type: "volume", Source: "tree", Target: "/part", VolumeOptions: { Subpath } }] });
  assert.equal((await sh("cat /part/file", mount("a/b"))).output, "deep");
  assert.equal((await sh("cat /part", mount("a/b/file"))).output, "deep");
  await assert.rejects(sh("ls /part", mount("escape")), /400 .*path concatenation escapes the base directory/);
  for (const bad of ["nothing", "a/b/file/more"]) await assert.rejects(sh("ls /part", mount(bad)), /404 .*cannot access path .*no such file or directory/);
  assert.ok(!mountsInside().includes("volume-parts"));
});

test("options are mounted while a container uses them, over a kill of the daemon, too", async () => {
  await api("POST", "/volumes/create", { Name: "fast", DriverOpts: { type: "tmpfs", device: "tmpfs", o: "size=1m" } });
  for (const name of ["one", "two"]) {
    await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { Binds: ["fast:/f"], Mounts: name === "two" ? [{ Type: "volume", Source: "fast", Target: "/g" }] : [] } });
    await api("POST", `/containers/${name}/start`);
  }
  const inside = `${engine.dataRoot}/volumes/fast/_data `;
  assert.ok(mountsInside().includes(inside));
  await engine.kill();
  await engine.start();
  assert.ok(mountsInside().includes(inside), "the containers run on");
  await api("POST", "/containers/one/stop?t=0");
  assert.ok(mountsInside().includes(inside), "the other one has it");
  await api("POST", "/containers/two/kill");
  await api("POST", "/containers/two/wait");
  await until("nothing is mounted", () => !mountsInside().includes(inside));
});

test("a container that ended while the daemon was away lets go of its volumes", async () => {
  await api("POST", "/volumes/create", { Name: "fast", DriverOpts: { type: "tmpfs", device: "tmpfs" } });
  await api("POST", "/containers/create?name=short", { Image: "busybox", Cmd: ["sh", "-c", "until [ -e /go ]; do sleep 0.1; done"], HostConfig: { Binds: ["fast:/f"] } });
  await api("POST", "/containers/short/start");
  const { Pid } = (await api("GET", "/containers/short/json")).State;
  await engine.kill();
  engine.machine.run("touch", `/proc/${Pid}/root/go`);
  await until("its end", () => !engine.machine.has(`/proc/${Pid}`));
  await engine.start();
  assert.ok(!mountsInside().includes("/volumes/fast/_data "));
  await api("DELETE", "/containers/short");
  await api("DELETE", "/volumes/fast");
});

test("volumes of another container, with their modes", async () => {
  await api("POST", "/containers/create?name=data", { Image: "busybox", Cmd: ["true"], Volumes: { "/a": {} }, HostConfig: { Binds: ["named:/b"] } });
  assert.equal((await sh("echo x > /a/file; echo y > /b/file; cat /a/file /b/file", { VolumesFrom: ["data"] })).output, "x\ny");
  const { code, output } = await sh("cat /a/file /b/file; touch /a/more", { VolumesFrom: ["data:ro"] });
  assert.match(output, /^x\ny\n.*Read-only file system$/);
  assert.equal(code, 1);
  await api("POST", "/containers/create?name=heir", { Image: "busybox", Cmd: ["cat", "/a/file"], HostConfig: { VolumesFrom: ["data"] } });
  await api("DELETE", "/containers/data?v=1");
  assert.equal((await names()).length, 2, "the heir has the anonymous one");
  await api("DELETE", "/containers/heir?v=1");
  assert.deepEqual(await names(), ["named"]);
});

test("a mount that fails says why, and nothing stays mounted or in use", async () => {
  const mount = { Type: "volume", Source: "lost", Target: "/x", VolumeOptions: { DriverConfig: { Name: "local", Options: { type: "none", o: "bind", device: "/no/such/folder" } } } };
  await api("POST", "/containers/create?name=lost", { Image: "busybox", Cmd: ["true"], HostConfig: { Mounts: [mount], Binds: ["other:/y"] } });
  await assert.rejects(api("POST", "/containers/lost/start"), new RegExp(`500 .*error while mounting volume '${folderOf("lost")}': failed to mount local volume: mount /no/such/folder:${folderOf("lost")}, flags: 0x1000: no such file or directory`));
  await api("DELETE", "/containers/lost");
  await api("DELETE", "/volumes/lost");
});

test("an image as a mount: read-only, whole or in part, kept while a container has it, gone with it", async () => {
  await image("assets", { commands: "mkdir site && echo hello > site/index && ln -s site current && ln -s /../../../etc/passwd site/out" });
  const { Id: imageId } = await api("GET", "/images/assets/json");
  const mount = (more: object): object => ({ HostConfig: { Mounts: [{ Type: "image", Source: "assets", ...more }] } });
  const { Id } = await api("POST", "/containers/create?name=shows", { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { Mounts: [{ Type: "image", Source: "assets", Target: "/a" }, { Type: "image", Source: "assets", Target: "/b", ImageOptions: { Subpath: "current" } }] } });
  const [whole, part] = (await api("GET", "/containers/shows/json")).Mounts;
  assert.deepEqual([whole, part].map(({ Type, Name, RW, Destination }: Json) => [Type, Name, RW, Destination]), [["image", "assets", false, "/a"], ["image", "assets", false, "/b"]]);
  assert.equal((await engine.api.send("DELETE", "/images/assets")).status, 409, "it is in use");
  await api("POST", `/containers/${Id}/start`);
  const inside = async (script: string): Promise<string> => (await new Cli(clients()[0]?.program ?? "", engine).run(["exec", "shows", "sh", "-c", script])).stdout.trim();
  assert.equal(await inside("cat /a/site/index /b/index; touch /a/x 2>/dev/null || echo no; echo > /b/index 2>/dev/null || echo no"), "hello\nhello\nno\nno");
  await engine.kill();
  await engine.start();
  assert.equal(await inside("cat /b/index; cmp /b/out /etc/passwd && echo own"), "hello\nown", "links lead into the container, not to the host");
  await api("POST", "/containers/shows/restart?t=0");
  assert.equal(await inside("cat /b/index"), "hello");
  await api("POST", "/containers/shows/stop?t=0");
  assert.ok(!mountsInside().includes("volume-parts"), "nothing is mounted for a container that does not run");
  assert.equal((await engine.api.send("GET", "/containers/shows/archive?path=/b/index")).status, 200);
  assert.deepEqual(await run({ Cmd: ["cat", "/c/index"], ...mount({ Target: "/c", ImageOptions: { Subpath: "site" } }) }), { code: 0, output: "hello" });
  assert.deepEqual(await run({ Cmd: ["cat", "/a/site/index"], HostConfig: { VolumesFrom: ["shows"] } }), { code: 0, output: "hello" });
  const refused = async (more: object): Promise<string> => {
    const { Id: made } = await api("POST", "/containers/create", { Image: "busybox", ...mount(more) });
    const { body } = await engine.api.send("POST", `/containers/${made}/start`);
    return body.toString();
  };
  assert.match(await refused({ Target: "/c", ImageOptions: { Subpath: "none" } }), /no such file or directory/);
  assert.match((await engine.api.send("POST", "/containers/create", { json: { Image: "busybox", HostConfig: { Mounts: [{ Type: "image", Source: "nosuch", Target: "/x" }] } } })).body.toString(), /No such image: nosuch:latest/);
  for (const { Id: left } of await api("GET", "/containers/json?all=1")) await api("DELETE", `/containers/${left}?force=1`);
  assert.deepEqual((await api("POST", "/system/check")).Findings ?? [], []);
  await api("DELETE", `/images/${imageId}`);
});
