/** --userns-remap under the whole daemon: containers see their own ids, archives have them, the host's files belong to the mapped root. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { demultiplex, type Json } from "../harness/api.ts";
import { endEngine, Engine } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";

const UID = 200_000;
const GID = 300_000;
const REMAP = { flags: ["--userns-remap", "remapped", "--storage-driver", "overlay2"] };

let engine: Engine;
const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });

before(async () => {
  engine = new Engine(await Machine.create());
  const etc = join(engine.machine.folder, "etc");
  engine.machine.run("sh", "-c", `cp -a /etc ${etc} && mount --bind ${etc} /etc && sed -i /^dockremap:/d /etc/passwd /etc/group`);
  for (const [name, content] of Object.entries({ subuid: `remapped:${UID}:65536\n`, subgid: `remapped:${GID}:65536\n` })) writeFileSync(join(etc, name), content);
  for (const [name, line] of Object.entries({ passwd: "remapped:x:4242:4243::/:/bin/false\n", group: "remapped:x:4243:\n" })) appendFileSync(join(etc, name), line);
  await engine.start();
  await engine.importBusybox();
});
after(async () => endEngine(engine));

async function restart(options: { flags?: string[] }): Promise<void> {
  await engine.stop();
  await engine.start(options);
}

async function create(name: string, script: string, hostConfig: object = {}, config: object = {}): Promise<void> {
  await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: hostConfig, ...config });
}

async function refusal(method: string, path: string, json: object): Promise<[status: number, message: string]> {
  const { status, body } = await engine.api.send(method, path, { json });
  return [status, JSON.parse(body.toString()).message];
}

/** What it prints until it ends. */
async function output(name: string): Promise<string> {
  await api("POST", `/containers/${name}/start`);
  await api("POST", `/containers/${name}/wait`);
  const { body } = await engine.api.send("GET", `/containers/${name}/logs?stdout=1&stderr=1`);
  const { stdout, stderr } = demultiplex(body);
  return `${stdout}${stderr}`.trim();
}

async function run(script: string, hostConfig: object = {}, config: object = {}): Promise<string> {
  const name = `once-${count++}`;
  await create(name, script, hostConfig, config);
  const text = await output(name);
  await api("DELETE", `/containers/${name}`);
  return text;
}
let count = 0;

async function exec(name: string, script: string, user = ""): Promise<string> {
  const { Id } = await api("POST", `/containers/${name}/exec`, { Cmd: ["sh", "-c", script], User: user, AttachStdout: true, AttachStderr: true });
  const { body } = await engine.api.send("POST", `/exec/${Id}/start`, { json: { Detach: false } });
  return demultiplex(body).stdout.trim();
}

async function copyIn(name: string, path: string, tar: Buffer): Promise<void> {
  const { status, body } = await engine.api.send("PUT", `/containers/${name}/archive?path=${path}`, { body: tar, headers: { "content-type": "application/x-tar" } });
  assert.equal(status, 200, body.toString());
}

/** Lines of "owner/group name" as tar lists them. */
function listed(tar: Buffer): string[] {
  const path = join(engine.machine.folder, "listed.tar");
  writeFileSync(path, tar);
  return engine.machine.run("tar", "--numeric-owner", "-tvf", path).trim().split("\n").map((line) => line.split(/\s+/)).map(([, owner, , , , name]) => `${owner} ${name}`);
}

const copyOut = async (name: string, path: string): Promise<string[]> => listed((await engine.api.send("GET", `/containers/${name}/archive?path=${path}`)).body);
const exported = async (name: string): Promise<string[]> => listed((await engine.api.send("GET", `/containers/${name}/export`)).body);

/** Files that others than root own, with bits of their own. */
function sampleTar(): Buffer {
  const folder = join(engine.machine.folder, "sample");
  engine.machine.run("sh", "-c", `rm -rf ${folder}; mkdir -p ${folder}/deep; echo one > ${folder}/one; echo two > ${folder}/deep/two; chown 1000:1001 ${folder}/one; chown -h 7:8 ${folder}/deep`);
  return Buffer.from(engine.machine.run("sh", "-c", `tar --numeric-owner -C ${folder} -c one deep | base64 -w0`), "base64");
}

describe("containers of before the change", () => {
  test("go on as they are while they run, have mapped ids from the next start on, and back", async () => {
    await create("old", "id -u; cat /proc/self/uid_map; ls -ln /made 2>/dev/null; touch /made; chown 5:6 /made; sleep 600", {}, { StopSignal: "SIGKILL" });
    await api("POST", "/containers/old/start");
    await exec("old", "while ! [ -e /made ]; do sleep 0.01; done");
    await restart(REMAP);
    assert.match(await exec("old", "cat /proc/self/uid_map"), /^0\s+0\s+4294967295$/);
    await copyIn("old", "/tmp", sampleTar());
    assert.deepEqual(await copyOut("old", "/tmp/one"), ["1000/1001 one"]);
    await api("POST", "/containers/old/restart?t=0");
    assert.match(await exec("old", "cat /proc/self/uid_map"), new RegExp(`^0\\s+${UID}\\s+65536$`));
    assert.equal(await exec("old", "stat -c %u:%g /made /tmp/one /tmp/deep/two"), "5:6\n1000:1001\n0:0");
    await restart({});
    assert.match(await exec("old", "cat /proc/self/uid_map"), new RegExp(`^0\\s+${UID}\\s+65536$`), "runs on as it was");
    await api("POST", "/containers/old/restart?t=0");
    assert.equal(await exec("old", "stat -c %u:%g /made /tmp/one"), "5:6\n1000:1001");
    await api("DELETE", "/containers/old?force=1");
  });
});

describe("--userns-remap", () => {
  test("default makes the user dockremap with ids behind all others", async () => {
    await restart({ flags: ["--userns-remap", "default"] });
    assert.match(await run("cat /proc/self/uid_map"), new RegExp(`^0\\s+${UID + 65_536}\\s+65536$`));
    assert.match(engine.machine.run("cat", "/etc/subgid"), new RegExp(`^dockremap:${GID + 65_536}:65536$`, "m"));
    await restart({ flags: ["--userns-remap", "default"] });
    assert.equal(engine.machine.run("cat", "/etc/subuid").match(/^dockremap:/gm)?.length, 1, "the user of before");
  });

  test("works with vfs, too", async () => {
    await restart({ flags: ["--userns-remap", "remapped", "--storage-driver", "vfs"] });
    await create("whole", "stat -c %u:%g / /bin/busybox; cat /proc/self/uid_map | tr -s ' '; touch /made; chown 5:6 /made");
    await copyIn("whole", "/home", sampleTar());
    assert.equal(await output("whole"), `0:0\n0:0\n 0 ${UID} 65536`);
    assert.deepEqual((await exported("whole")).filter((line) => /made|home\/one/.test(line)).toSorted(), ["1000/1001 home/one", "5/6 made"]);
    await api("DELETE", "/containers/whole");
  });

  test("what cannot be is told", async () => {
    await engine.stop();
    await assert.rejects(engine.start({ flags: ["--userns-remap", "nosuchuser"] }), /failed to start daemon: Error during uid lookup for "nosuchuser"/);
    await assert.rejects(engine.start({ flags: ["--userns-remap", "daemon"] }), /no subuid ranges found for user "daemon": add a line such as daemon:100000:65536 to \/etc\/subuid/);
  });
});

describe("a remapped daemon", () => {
  before(() => restart(REMAP));

  test("says so, and inspect has the mode that was asked for", async () => {
    assert.ok((await api("GET", "/info")).SecurityOptions.includes("name=userns"));
    await create("seen", "true");
    await create("seen-host", "true", { UsernsMode: "host" });
    assert.equal((await api("GET", "/containers/seen/json")).HostConfig.UsernsMode, "");
    assert.equal((await api("GET", "/containers/seen-host/json")).HostConfig.UsernsMode, "host");
    for (const name of ["seen", "seen-host"]) await api("DELETE", `/containers/${name}`);
  });

  test("the container's files, streams, terminal and names are its root's", async () => {
    const text = await run("id -u; cat /proc/self/uid_map /proc/self/gid_map; stat -c %u:%g / /bin/busybox /etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/shm; echo 10.9.9.9 more >> /etc/hosts; echo again > /dev/stdout; touch /new && stat -c %u:%g /new");
    assert.deepEqual(text.split("\n").map((line) => line.trim().replace(/\s+/g, " ")), ["0", `0 ${UID} 65536`, `0 ${GID} 65536`, ...Array(7).fill("0:0"), "again", "0:0"]);
    assert.equal(await run("id -u; echo again > /dev/stdout; touch /tmp/x 2>/dev/null || echo no", {}, { User: "1000:1000" }), "1000\nagain\nno");
    await create("term", "stat -c %u:%g /dev/console; tty", {}, { Tty: true });
    await api("POST", "/containers/term/start");
    await api("POST", "/containers/term/wait");
    assert.match((await engine.api.send("GET", "/containers/term/logs?stdout=1")).body.toString(), /^0:5\r\n\/dev\/pts\/0\r\n$/);
    await api("DELETE", "/containers/term");
    assert.equal(await run("stat -c %u:%g /dev/shm; touch /dev/shm/x && echo made", { IpcMode: "shareable" }), "0:0\nmade");
    assert.equal(await run("echo fine", { IpcMode: "host", UTSMode: "host" }), "fine");
    assert.equal(await run("cat /proc/self/uid_map", { UsernsMode: "host" }).then((line) => line.trim().split(/\s+/)[1]), "0");
  });

  test("has rights over its own network, and none over the host's", async () => {
    assert.match(await run("ping -c1 -W60 127.0.0.1; ip link set lo down && ip link show lo; cat /proc/sys/net/ipv4/ip_unprivileged_port_start", { CapAdd: ["NET_ADMIN"] }), /1 packets received[^]*lo: <LOOPBACK>[^]*\n0$/);
    await create("web", "echo served > /index.html; httpd -f -p 80 -h /", { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } }, { ExposedPorts: { "80/tcp": {} } });
    await api("POST", "/containers/web/start");
    const port = (await api("GET", "/containers/web/json")).NetworkSettings.Ports["80/tcp"][0].HostPort;
    assert.equal(engine.machine.run("sh", "-c", `for i in $(seq 100); do busybox wget -qO- http://127.0.0.1:${port}/index.html && exit; sleep 0.1; done; exit 1`), "served\n");
    const { Pid } = (await api("GET", "/containers/web/json")).State;
    assert.equal(engine.machine.run("stat", "-c", "%u:%g", `/proc/${Pid}/root/index.html`).trim(), `${UID}:${GID}`);
    assert.equal(await run("wget -qO- http://127.0.0.1/index.html; cat /proc/self/uid_map | tr -s ' '", { NetworkMode: "container:web" }), `served\n 0 ${UID} 65536`);
    const [status, message] = await startRefusal({ NetworkMode: "container:web", PidMode: "container:other" });
    assert.equal(status, 409, message);
    await api("DELETE", "/containers/web?force=1");
  });

  test("options of containers work in it: init, read-only root, tmpfs, devices, images and parts of volumes", async () => {
    const script = "stat -c %u:%g /tmp /shown/bin /part; touch /tmp/x /part/y && echo made; touch /z 2>/dev/null || echo read-only; cat /proc/1/comm; echo x > /dev/mine && echo written";
    await api("POST", "/volumes/create", { Name: "whole" });
    assert.equal(await run("mkdir /v/part && echo made", { Binds: ["whole:/v"] }), "made");
    const Mounts = [{ Type: "image", Source: "busybox", Target: "/shown" }, { Type: "volume", Source: "whole", Target: "/part", VolumeOptions: { Subpath: "part" } }];
    const hostConfig = { Init: true, ReadonlyRootfs: true, Tmpfs: { "/tmp": "mode=755" }, Mounts, Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/mine", CgroupPermissions: "rwm" }] };
    assert.deepEqual((await run(script, hostConfig)).split("\n"), ["0:0", "0:0", "0:0", "made", "read-only", "docker-init", "written"]);
    await api("DELETE", "/volumes/whole");
  });

  test("mounts come and go while it runs", async () => {
    await create("changes", "sleep 1000");
    await api("POST", "/containers/changes/start");
    await api("POST", "/containers/changes/update", { MountAdd: [{ Type: "volume", Source: "coming", Target: "/made/for/it" }] });
    assert.equal(await exec("changes", "touch /made/for/it/x; stat -c %u:%g /made /made/for/it /made/for/it/x"), "0:0\n0:0\n0:0");
    await api("POST", "/containers/changes/update", { MountRemove: ["/made/for/it"] });
    assert.equal(await exec("changes", "ls /made/for/it | wc -l"), "0");
    await api("DELETE", "/containers/changes?force=1");
    await api("DELETE", "/volumes/coming");
  });

  test("a network that is connected while it runs", async () => {
    await create("roams", "sleep 1000");
    await api("POST", "/containers/roams/start");
    await api("POST", "/networks/create", { Name: "further" });
    await api("POST", "/networks/further/connect", { Container: "roams" });
    assert.match(await exec("roams", "ip -o addr show eth1"), /inet 172\./);
    await api("POST", "/networks/further/disconnect", { Container: "roams" });
    assert.equal(await exec("roams", "ip link show eth1 2>/dev/null || echo gone"), "gone");
    await api("DELETE", "/containers/roams?force=1");
    await api("DELETE", "/networks/further");
  });

  test("file capabilities count in it, of files that were copied in, built in or shown to it", async () => {
    // cap_net_raw, permitted and effective, version 2.
    const capability = Buffer.from([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const tar = tarOf({ name: "grep", data: readFileSync(engine.machine.run("sh", "-c", "readlink -f $(command -v busybox)").trim()), mode: 0o755, pax: { "SCHILY.xattr.security.capability": capability } });
    const effective = "/tmp/grep CapEff /proc/self/status";
    const raw = /^CapEff:\s+0000000000002000$/;
    await create("capable", "sleep 1000");
    await copyIn("capable", "/tmp", tar);
    await api("POST", "/containers/capable/start");
    assert.match(await exec("capable", effective, "user"), raw);
    await exec("capable", "rm /tmp/grep");
    assert.match(await exec("capable", "grep CapEff /proc/self/status", "user"), /0000000000000000$/);
    await copyIn("capable", "/tmp", tar);
    assert.match(await exec("capable", effective, "user"), raw);
    await engine.api.json("POST", "/commit", { query: { container: "capable", repo: "capable" }, json: {} });
    for (const UsernsMode of ["", "host"]) assert.match(await run(effective, { UsernsMode }, { Image: "capable", User: "user" }), raw);
    await api("DELETE", "/containers/capable?force=1");
    await api("DELETE", "/images/capable");
  });

  test("shares processes and IPC with another in one user namespace, with a network of its own", async () => {
    await create("donor", "trap exit TERM; touch /dev/shm/ready; while :; do sleep 0.1; done; : donor", { IpcMode: "shareable" });
    await api("POST", "/containers/donor/start");
    const script = "until [ -e /dev/shm/ready ]; do sleep 0.1; done; readlink /proc/self/ns/user; ps | grep -c ': [d]onor'; ping -c1 -W60 127.0.0.1 | grep -o '1 packets received'; touch /dev/shm/x; kill -TERM 1 && echo ended";
    const [users, ...rest] = (await run(script, { PidMode: "container:donor", IpcMode: "container:donor" })).split("\n");
    assert.deepEqual(rest, ["1", "1 packets received", "ended"]);
    assert.match(users!, /^user:\[\d+\]$/);
    await api("POST", "/containers/donor/wait");
    await api("POST", "/containers/donor/start");
    assert.equal(await run("cat /proc/self/uid_map | tr -s ' '; mount | grep -c mqueue", { IpcMode: "container:donor" }), `0 ${UID} 65536\n1`);
    const [status, message] = await startRefusal({ PidMode: "container:donor", IpcMode: "container:other" });
    assert.deepEqual([status, message], [409, "cannot share namespaces of containers with different user namespaces: start them with --userns=host"]);
    await create("hosts", "sleep 1000", { UsernsMode: "host" });
    await api("POST", "/containers/hosts/start");
    assert.match((await startRefusal({ PidMode: "container:hosts" }))[1], /cannot share namespaces of one in the host's: start both with --userns=host, or none/);
    assert.equal(await run("id -u", { UsernsMode: "host", PidMode: "container:hosts" }), "0");
    for (const name of ["donor", "hosts"]) await api("DELETE", `/containers/${name}?force=1`);
  });

  test("files of the host's root are out of reach of the container's root", async () => {
    const secret = join(engine.machine.folder, "secret");
    engine.machine.run("sh", "-c", `mkdir -m 755 ${secret}; echo secret > ${secret}/file; chmod 600 ${secret}/file; cp /bin/busybox ${secret}/own; chmod 755 ${secret}/own`);
    const script = "cat /bound/file 2>/dev/null || echo closed; (echo x > /bound/new) 2>/dev/null || echo not made; (echo x >> /bound/own) 2>/dev/null || echo not written; chown 0:0 /bound/file 2>/dev/null || echo not owned";
    assert.equal(await run(script, { Binds: [`${secret}:/bound`] }), "closed\nnot made\nnot written\nnot owned");
    assert.equal(await run(script, { Binds: [`${secret}:/bound`], UsernsMode: "host" }), "secret");
  });

  /** With a further container "other", in a user namespace of its own. */
  async function startRefusal(hostConfig: object): Promise<[status: number, message: string]> {
    await create("other", "sleep 1000", { IpcMode: "shareable" });
    await api("POST", "/containers/other/start");
    await create("refused", "true", hostConfig);
    const answer = await refusal("POST", "/containers/refused/start", {});
    for (const name of ["refused", "other"]) await api("DELETE", `/containers/${name}?force=1`);
    return answer;
  }

  test("exec, cp in and out, diff, commit and export have the container's ids, whether it runs or not", async () => {
    await create("work", "touch /made; chown 5:6 /made; touch /ready; sleep 600");
    await copyIn("work", "/home", sampleTar());
    assert.deepEqual(await copyOut("work", "/home/one"), ["1000/1001 one"]);
    await api("POST", "/containers/work/start");
    assert.equal(await exec("work", "while ! [ -e /ready ]; do sleep 0.01; done; id -u; stat -c %u:%g /made /home/one /home/deep /home/deep/two"), "0\n5:6\n1000:1001\n7:8\n0:0");
    assert.equal(await exec("work", "id -u; id -g", "user"), "1000\n1000");
    await copyIn("work", "/tmp", sampleTar());
    assert.equal(await exec("work", "stat -c %u:%g /tmp/one /tmp/deep /tmp/deep/two"), "1000:1001\n7:8\n0:0");
    const expected = ["7/8 deep/", "0/0 deep/two"];
    assert.deepEqual(await copyOut("work", "/tmp/deep"), expected);
    const files = (await exported("work")).filter((line) => /made|home\/one|tmp\/deep/.test(line));
    assert.deepEqual(files.toSorted(), ["0/0 tmp/deep/two", "1000/1001 home/one", "5/6 made", "7/8 tmp/deep/"]);
    await api("POST", "/containers/work/kill");
    await api("POST", "/containers/work/wait");
    assert.deepEqual(await copyOut("work", "/tmp/deep"), expected);
    assert.deepEqual((await exported("work")).filter((line) => /made|home\/one|tmp\/deep/.test(line)).toSorted(), files.toSorted());
    assert.ok((await api("GET", "/containers/work/changes")).some(({ Path, Kind }: Json) => Path === "/made" && Kind === 1));
    await engine.api.json("POST", "/commit", { query: { container: "work", repo: "kept" }, json: {} });
    const script = "stat -c %u:%g /made /home/one /tmp/deep";
    for (const UsernsMode of ["", "host"]) assert.equal(await run(script, { UsernsMode }, { Image: "kept" }), "5:6\n1000:1001\n7:8");
    await api("DELETE", "/containers/work");
    await api("DELETE", "/images/kept");
  });

  test("volumes and made folders of the host belong to the mapped root", async () => {
    const source = join(engine.machine.folder, "made/below");
    assert.equal(await run("stat -c %u:%g /data /bound /home; touch /data/x /bound/y; chown 9:9 /bound/y", { Binds: ["kept:/data", `${source}:/bound`, "filled:/home"] }), "0:0\n0:0\n0:0");
    const { Mountpoint } = await api("GET", "/volumes/kept");
    const ownerOf = (path: string): string => `${statSync(path).uid}:${statSync(path).gid}`;
    assert.deepEqual([Mountpoint, join(Mountpoint, "x"), source, join(source, "..")].map(ownerOf), Array(4).fill(`${UID}:${GID}`));
    assert.equal(ownerOf(join(source, "y")), `${UID + 9}:${GID + 9}`);
    await create("copies", "true", { Binds: ["kept:/data"] });
    await copyIn("copies", "/data", sampleTar());
    assert.equal(ownerOf(join(Mountpoint, "one")), `${UID + 1000}:${GID + 1001}`);
    assert.deepEqual(await copyOut("copies", "/data/one"), ["1000/1001 one"]);
    await api("DELETE", "/containers/copies");
    for (const name of ["kept", "filled"]) await api("DELETE", `/volumes/${name}`);
  });

  test("what needs the host's root is refused with Docker's words", async () => {
    const cases: [object, string][] = [
      [{ Privileged: true }, "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode"],
      [{ NetworkMode: "host" }, "cannot share the host's network namespace when user namespaces are enabled"],
      [{ PidMode: "host" }, "cannot share the host PID namespace when user namespaces are enabled"],
    ];
    for (const [HostConfig, message] of cases) {
      assert.deepEqual(await refusal("POST", "/containers/create", { Image: "busybox", HostConfig }), [400, message]);
      assert.equal(await run("echo fine", { ...HostConfig, UsernsMode: "host" }), "fine");
    }
    assert.match((await startRefusal({ SecurityOpt: ["writable-cgroups=true"] }))[1], /option WritableCgroups conflicts with user namespaces and rootless mode/);
  });
});
