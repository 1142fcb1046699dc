/** What changes in a container that runs, without a restart, and lasts. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
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

test("labels, and variables of programs that start from now on, also after the daemon's restart", async () => {
  await cli.ok("run", "-d", "--name", "changing", "--label", "a=1", "-e", "A=1", "-e", "B=2", "busybox", "sleep", "1000");
  assert.equal(await cli.ok("update", "--label-add", "b=2", "--label-rm", "a", "--env-add", "A=changed", "--env-rm", "B", "changing"), "changing");
  const seen = async (): Promise<void> => {
    const { Config, State } = await api("GET", "/containers/changing/json");
    assert.deepEqual([Config.Labels, Config.Env.filter((entry: string) => /^[AB]=/.test(entry)), State.Running], [{ b: "2" }, ["A=changed"], true]);
    assert.equal(await cli.ok("ps", "-q", "--filter", "label=a"), "");
    assert.equal(await cli.ok("exec", "changing", "sh", "-c", "echo $A$B"), "changed");
  };
  await seen();
  await engine.stop();
  await engine.start();
  await seen();
  const { status, body } = await engine.api.send("POST", "/containers/changing/update", { json: { EnvAdd: ["NOVALUE"] } });
  assert.deepEqual([status, /not of the form NAME=VALUE/.test(body.toString())], [400, true]);
  await api("DELETE", "/containers/changing?force=1");
});

test("binds and volumes come into a running container and go, and last", async () => {
  const folder = join(engine.machine.folder, "shared");
  mkdirSync(folder);
  writeFileSync(join(folder, "file"), "of the host\n");
  await cli.ok("run", "-d", "--name", "mounts", "-v", "first:/first", "busybox", "sleep", "1000");
  const sh = (script: string): Promise<string> => cli.ok("exec", "mounts", "sh", "-c", script);
  const points = async (): Promise<string> => (await api("GET", "/containers/mounts/json")).Mounts.map((point: Json) => `${point.Type} ${point.Destination} ${point.RW}`).sort().join(", ");
  await cli.ok("update", "--mount-add", `type=bind,source=${folder},target=/made/here,readonly`, "--mount-add", "type=volume,source=second,target=/second", "--mount-add", `type=bind,source=${folder}/file,target=/single`, "mounts");
  assert.equal(await points(), "bind /made/here false, bind /single true, volume /first true, volume /second true");
  assert.equal(await sh("cat /made/here/file /single; echo kept > /second/x; touch /made/here/x 2>&1 || true"), "of the host\nof the host\ntouch: /made/here/x: Read-only file system");
  await assert.rejects(api("DELETE", "/volumes/second"), /volume is in use/);
  for (const [change, status, message] of [
    [{ MountAdd: [{ Type: "bind", Source: folder, Target: "/first" }] }, 409, /has a mount at \/first already/],
    [{ MountAdd: [{ Type: "tmpfs", Target: "/t" }] }, 501, /of type tmpfs cannot be added/],
    [{ MountAdd: [{ Type: "bind", Source: folder, Target: "/proc/x" }] }, 409, /container's own mounts/],
    [{ MountAdd: [{ Type: "bind", Source: folder, Target: "/ok" }, { Type: "bind", Source: folder, Target: "/single/below" }] }, 500, /\/single\/below/],
    [{ MountAdd: [{ Type: "bind", Source: "/nosuch", Target: "/n" }] }, 400, /does not exist/],
    [{ MountRemove: ["/none"] }, 404, /no mount at \/none/],
    [{ MountRemove: ["/first"], Memory: 1 << 28 }, 400, /also has Memory/],
  ] as const) {
    const reply = await engine.api.send("POST", "/containers/mounts/update", { json: change });
    assert.equal(reply.status, status, reply.body.toString());
    assert.match(reply.body.toString(), message);
  }
  assert.equal(await points(), "bind /made/here false, bind /single true, volume /first true, volume /second true");
  assert.equal(await sh("ls /ok | wc -l"), "0", "what was added before the failure is gone");
  await engine.stop();
  await engine.start();
  await cli.ok("update", "--mount-rm", "/single", "--mount-rm", "/first", "mounts");
  assert.equal(await points(), "bind /made/here false, volume /second true");
  assert.equal(await sh("ls /first; wc -c < /single; grep -c -E ' /(single|first) ' /proc/self/mountinfo || true"), "0\n0");
  await api("DELETE", "/volumes/first");
  await cli.ok("restart", "-t", "0", "mounts");
  assert.equal(await sh("cat /made/here/file /second/x"), "of the host\nkept");
  await cli.ok("stop", "-t", "0", "mounts");
  await cli.ok("update", "--mount-rm", "/second", "--mount-add", "type=volume,source=third,target=/third", "mounts");
  await api("DELETE", "/volumes/second");
  await cli.ok("start", "mounts");
  assert.equal(await points(), "bind /made/here false, volume /third true");
  await api("DELETE", "/containers/mounts?force=1");
  await api("DELETE", "/volumes/third");
});

test("a container cannot lead a mount out of itself, nor have others of its mounts taken away", async () => {
  const outside = join(engine.machine.folder, "outside");
  mkdirSync(outside);
  await cli.ok("run", "-d", "--name", "hostile", "-v", "mine:/mine", "busybox", "sh", "-c", `mkdir -p /inside; ln -s /proc/1/root${outside} /link; ln -s ../../../../../..${outside} /up; sleep 1000`);
  await until("the links", async () => (await cli.run(["exec", "hostile", "test", "-L", "/up"])).code === 0);
  assert.equal((await cli.run(["exec", "hostile", "ls", "/up"])).code, 1);
  for (const target of ["/link/x", "/up/x"]) await engine.api.send("POST", "/containers/hostile/update", { json: { MountAdd: [{ Type: "bind", Source: outside, Target: target }] } });
  assert.deepEqual(readdirSync(outside), [], "nothing was made outside");
  // The mount at /mine stays while a link of the path leads to a mask.
  await cli.ok("update", "--mount-add", `type=bind,source=${outside},target=/a/sys`, "hostile");
  await cli.run(["exec", "hostile", "sh", "-c", "mv /a /b; ln -s /proc /a"]);
  const reply = await engine.api.send("POST", "/containers/hostile/update", { json: { MountRemove: ["/a/sys"] } });
  assert.equal(reply.status, 409, reply.body.toString());
  assert.equal(await cli.ok("exec", "hostile", "sh", "-c", "grep -c ' /proc/sys ' /proc/self/mountinfo"), "1");
  await api("DELETE", "/containers/hostile?force=1");
});

const noRules = existsSync("/sys/fs/cgroup/devices") ? false : "rules of a running container change with the devices controller of cgroup v1";

test("devices come into a running container and go, with their rules, and last", { skip: noRules }, async () => {
  const uses = async (path: string): Promise<boolean> => (await cli.run(["exec", "devices", "sh", "-c", `: <${path}`])).code === 0;
  const given = async (): Promise<string[]> => (await api("GET", "/containers/devices/json")).HostConfig.Devices.map(({ PathInContainer, CgroupPermissions }: Json) => `${PathInContainer} ${CgroupPermissions}`);
  const mode = (path: string): number => statSync(path).mode & 0o777;
  const before = mode("/dev/loop-control");
  await cli.ok("run", "-d", "--name", "devices", "--device", "/dev/fuse", "busybox", "sleep", "1000");
  await cli.ok("exec", "devices", "mknod", "/tmp/own", "c", "10", "237");
  assert.deepEqual([await uses("/dev/fuse"), await uses("/tmp/own")], [true, false]);
  const since = Math.floor(Date.now() / 1000);
  assert.equal(await cli.ok("update", "--device-add", "/dev/loop-control:/dev/made/here:r", "devices"), "devices");
  assert.deepEqual([await uses("/dev/made/here"), await uses("/tmp/own"), await uses("/dev/null")], [true, true, true]);
  assert.notEqual((await cli.run(["exec", "devices", "sh", "-c", ": >/dev/made/here"])).code, 0, "it may be read alone");
  assert.notEqual((await cli.run(["exec", "devices", "chmod", "777", "/dev/made/here"])).code, 0);
  assert.equal(mode("/dev/loop-control"), before, "the host's is as it was");
  for (const [change, status, message] of [
    [{ DeviceAdd: [{ PathOnHost: "/dev/loop-control", PathInContainer: "/dev/made/here", CgroupPermissions: "rwm" }] }, 409, /has a device at \/dev\/made\/here already/],
    [{ DeviceAdd: [{ PathOnHost: "/dev/nosuch", PathInContainer: "/dev/x", CgroupPermissions: "rwm" }] }, 500, /error gathering device information .*\/dev\/nosuch/],
    [{ DeviceAdd: [{ PathOnHost: "/dev/fuse", PathInContainer: "/proc/fuse", CgroupPermissions: "rwm" }] }, 409, /container's own mounts/],
    [{ DeviceAdd: [{ PathOnHost: "/dev/fuse", PathInContainer: "/dev/x", CgroupPermissions: "x" }] }, 400, /bad mode/],
    [{ DeviceRemove: ["/dev/null"] }, 404, /was given no device at \/dev\/null/],
    [{ DeviceRemove: ["/dev/fuse"], Memory: 1 << 28 }, 400, /devices change in a request of their own: it also has Memory/],
  ] as const) {
    const reply = await engine.api.send("POST", "/containers/devices/update", { json: change });
    assert.equal(reply.status, status, reply.body.toString());
    assert.match(reply.body.toString(), message);
  }
  await engine.stop();
  await engine.start();
  assert.deepEqual([await given(), await uses("/dev/made/here")], [["/dev/fuse rwm", "/dev/made/here r"], true]);
  await cli.ok("update", "--device-rm", "/dev/fuse", "devices");
  await cli.ok("exec", "devices", "mknod", "/tmp/fuse", "c", "10", "229");
  assert.deepEqual([await given(), await uses("/dev/made/here"), await uses("/tmp/fuse")], [["/dev/made/here r"], true, false]);
  await cli.ok("restart", "-t", "0", "devices");
  assert.deepEqual([await uses("/dev/made/here"), await uses("/dev/fuse")], [true, false]);
  await cli.ok("update", "--device-rm", "/dev/made/here", "devices");
  assert.deepEqual([await given(), await cli.ok("exec", "devices", "ls", "-A", "/dev/made"), await uses("/tmp/own")], [[], "", false]);
  await cli.ok("stop", "-t", "0", "devices");
  await cli.ok("update", "--device-add", "/dev/fuse", "devices");
  await cli.ok("start", "devices");
  assert.equal(await uses("/dev/fuse"), true);
  await api("DELETE", "/containers/devices?force=1");
  const { body } = await engine.api.send("GET", "/events", { query: { since, until: Math.ceil(Date.now() / 1000), filters: { event: ["update"], container: ["devices"] } } });
  assert.equal(body.toString().trim().split("\n").length, 4, "each change is an event");
});

test("one exec is killed by its id, the container goes on", async () => {
  await cli.ok("run", "-d", "--name", "many", "busybox", "sleep", "1000");
  const { Id } = await api("POST", "/containers/many/exec", { Cmd: ["sleep", "2000"] });
  await assert.rejects(api("POST", `/exec/${Id}/kill`), /409.*is not running/);
  await api("POST", `/exec/${Id}/start`, { Detach: true });
  assert.equal(await cli.ok("kill", "--exec", "--signal", "TERM", Id), Id);
  await until("its end", async () => !(await api("GET", `/exec/${Id}/json`)).Running);
  assert.equal((await api("GET", `/exec/${Id}/json`)).ExitCode, 143);
  assert.equal((await api("GET", "/containers/many/json")).State.Running, true);
  await api("DELETE", "/containers/many?force=1");
});
