/** A plugin for networks, addresses, volumes and authorization as a program of its own, by the stock docker command line where it is installed. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually, until } from "../../src/lib/eventually.testing.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let cli: Cli;
let plugin: ChildProcess;
const state = (): string => join(engine.machine.folder, "wire");
const asked = (): string[] => (existsSync(join(state(), "log")) ? readFileSync(join(state(), "log"), "utf8").trim().split("\n") : []);
const methods = (): string[] => asked().map((line) => line.split(" ")[0] ?? "");

async function startPlugin(): Promise<void> {
  mkdirSync(state(), { recursive: true });
  plugin = engine.machine.spawn([join(project, "build", "node"), join(project, "test", "plugins", "wire.ts"), "/run/docker/plugins/wire.sock", state()], { stdio: "ignore" });
  await until("the plugin's socket", () => engine.machine.run("sh", "-c", "ls /run/docker/plugins 2>/dev/null || true").includes("wire.sock"));
}

before(async () => {
  engine = await startedEngine();
  const program = clients().find(({ name, program: found }) => name === "docker" && found)?.program ?? clients().find(({ program: found }) => found)!.program!;
  cli = new Cli(program, engine);
});
after(async () => {
  plugin?.kill("SIGKILL");
  engine.machine.run("sh", "-c", "pkill -KILL -f 'plugins/[w]ire.ts' || true");
  await endEngine(engine);
});

test("without the plugin its networks are refused, and nothing is left", async () => {
  assert.match((await cli.run(["network", "create", "-d", "wire", "net1"])).stderr, /plugin "wire" not found/);
  assert.match((await cli.run(["network", "create", "--ipam-driver", "wire", "net1"])).stderr, /plugin "wire" not found/);
  assert.doesNotMatch(await cli.ok("network", "ls"), /net1/);
});

test("networks and addresses of a plugin: containers reach each other, come and go, and outlive the daemon", async () => {
  await startPlugin();
  await cli.ok("network", "create", "-d", "wire", "--ipam-driver", "wire", "--ipam-opt", "flavour=mild", "-o", "colour=blue", "net1");
  const { IPAM, Driver, Options } = JSON.parse(await cli.ok("network", "inspect", "-f", "{{json .}}", "net1"));
  assert.deepEqual([Driver, Options, IPAM.Driver, IPAM.Config], ["wire", { colour: "blue" }, "wire", [{ Subnet: "10.99.0.0/24", Gateway: "10.99.0.254" }]]);
  assert.match(await cli.ok("info", "-f", "{{.Plugins.Network}}"), /wire/);
  await cli.ok("run", "-d", "--name", "one", "--network", "net1", "busybox", "sleep", "1000");
  await cli.ok("run", "-d", "--name", "two", "--network", "net1", "--ip", "10.99.0.77", "busybox", "sleep", "1000");
  assert.equal(await cli.ok("inspect", "-f", "{{(index .NetworkSettings.Networks \"net1\").IPAddress}}", "one"), "10.99.0.7");
  assert.match(await cli.ok("exec", "one", "ping", "-c1", "-w60", "two"), /1 packets received/);
  assert.match(await cli.ok("exec", "one", "ip", "route"), /default via 10\.99\.0\.254/);
  await cli.ok("run", "--rm", "--network", "net1", "-p", "8080:80", "busybox", "true");
  assert.match(asked().findLast((line) => line.startsWith("NetworkDriver.ProgramExternalConnectivity ")) ?? "", /"com\.docker\.network\.portmap":\[\{"Proto":6,"IP":"","Port":80,"HostIP":"","HostPort":8080,"HostPortEnd":8080\}\]/, "ports are the plugin's to publish");
  assert.equal(methods().filter((method) => method === "NetworkDriver.RevokeExternalConnectivity").length, 1);
  assert.match((await cli.run(["run", "--rm", "--network", "net1", "--ip", "10.99.0.77", "busybox", "true"])).stderr, /10\.99\.0\.77 is given out/);

  await engine.kill();
  await engine.start();
  assert.equal(methods().filter((method) => method === "NetworkDriver.CreateNetwork" || method === "IpamDriver.RequestPool").length, 2, "what outlived the daemon is not made again");
  assert.match(await cli.ok("exec", "two", "ping", "-c1", "-w60", "one"), /1 packets received/);
  await cli.ok("run", "--rm", "--network", "net1", "busybox", "ping", "-c1", "-w60", "10.99.0.7");
  await cli.ok("network", "disconnect", "net1", "two");
  assert.doesNotMatch(await cli.ok("exec", "two", "ip", "addr"), /10\.99\./);
  await cli.ok("network", "connect", "net1", "two");
  assert.match(await cli.ok("exec", "two", "ping", "-c1", "-w60", "one"), /1 packets received/);

  await cli.ok("rm", "-f", "one", "two");
  await cli.ok("network", "rm", "net1");
  const endpoints = (method: string): Set<string> => new Set(asked().flatMap((line) => (line.startsWith(`NetworkDriver.${method} `) ? (/"EndpointID":"(\w+)"/.exec(line)?.[1] ?? []) : [])));
  const left = (): string[] => [...[...endpoints("CreateEndpoint")].filter((id) => !endpoints("DeleteEndpoint").has(id)), ...[...endpoints("Join")].filter((id) => !endpoints("Leave").has(id))];
  await eventually(() => assert.deepEqual([left(), endpoints("Join").size], [[], 5]));
  assert.doesNotMatch(engine.machine.run("ip", "-o", "link"), /\b(wire-|wh|wc)[0-9a-f]/);
  const { networks, pools } = JSON.parse(readFileSync(join(state(), "state.json"), "utf8"));
  assert.deepEqual([networks, pools], [{}, {}], "the plugin has everything back");
});

test("what the plugin refuses is told in its words, and leaves no network", async () => {
  assert.match((await cli.run(["network", "create", "-d", "wire", "-o", "wire.fail=the wire is cut", "net2"])).stderr, /NetworkDriver\.CreateNetwork: the wire is cut/);
  assert.doesNotMatch(await cli.ok("network", "ls"), /net2/);
});

test("volumes of a plugin: mounted while containers run, kept over the daemon's death, given back", async () => {
  assert.match((await cli.run(["volume", "create", "-d", "nosuch", "lost"])).stderr, /create lost: error looking up volume plugin nosuch: plugin "nosuch" not found/);
  assert.match((await cli.run(["run", "--rm", "--pull", "never", "--mount", "type=volume,dst=/d,volume-driver=nosuch", "busybox", "true"])).stderr, /error looking up volume plugin nosuch/);
  assert.match((await cli.run(["volume", "create", "-d", "wire", "-o", "fail=no room", "lost"])).stderr, /create lost: VolumeDriver\.Create: no room/);
  const users = async (): Promise<number> => JSON.parse(await cli.ok("volume", "inspect", "-f", "{{json .Status}}", "vol1")).users;
  await cli.ok("volume", "create", "-d", "wire", "-o", "colour=blue", "vol1");
  assert.ok(asked().includes('VolumeDriver.Create {"Name":"vol1","Opts":{"colour":"blue"}}'));
  assert.equal(await cli.ok("volume", "inspect", "-f", "{{.Driver}} {{.Scope}}", "vol1"), "wire global");
  assert.match(await cli.ok("info", "-f", "{{.Plugins.Volume}}"), /local wire/);
  await cli.ok("run", "-d", "--name", "keeper", "-v", "vol1:/data", "busybox", "sh", "-c", "echo kept >/data/file; sleep 1000");
  assert.match(await cli.ok("inspect", "-f", "{{(index .Mounts 0).Source}} {{(index .Mounts 0).Driver}}", "keeper"), /\/wire\/volumes\/vol1 wire$/);
  const gets = (): number => methods().filter((method) => method === "VolumeDriver.Get").length;
  const before = gets();
  assert.equal(await users(), 1);
  assert.equal(gets(), before + 1);
  await eventually(async () => assert.equal(await cli.ok("exec", "keeper", "cat", "/data/file"), "kept"));
  assert.match((await cli.run(["volume", "rm", "vol1"])).stderr, /volume is in use/);
  await engine.kill();
  await engine.start();
  assert.equal(await users(), 1);
  assert.equal(await cli.ok("run", "--rm", "-v", "vol1:/data:ro", "busybox", "cat", "/data/file"), "kept");
  await cli.ok("rm", "-f", "keeper");
  assert.equal(await users(), 0);
  assert.match(await cli.ok("volume", "ls"), /^wire +vol1$/m);
  await cli.ok("volume", "rm", "vol1");
  assert.doesNotMatch(await cli.ok("volume", "ls"), /vol1/);
});

test("an authorization plugin decides what clients may do and see, until a reload lets it go", async () => {
  const file = join(engine.machine.folder, "daemon.json");
  const reload = async (plugins: string[]): Promise<void> => {
    writeFileSync(file, JSON.stringify({ "authorization-plugins": plugins }));
    engine.machine.run("kill", "-HUP", String(engine.pid()));
  };
  writeFileSync(file, JSON.stringify({ "authorization-plugins": ["nosuch"] }));
  await engine.kill();
  await assert.rejects(engine.start({ flags: ["--config-file", file] }), /failed to validate authorization plugin: plugin "nosuch" not found/);
  writeFileSync(file, JSON.stringify({ "authorization-plugins": ["wire"] }));
  await engine.start({ flags: ["--config-file", file], first: "/info" });
  assert.equal(await cli.ok("info", "-f", "{{.Plugins.Authorization}}"), "[wire]");
  assert.match((await cli.run(["run", "--rm", "--privileged", "busybox", "true"])).stderr, /authorization denied by plugin wire: no privileges here/);
  assert.match((await cli.run(["version"])).stderr, /plugin wire failed with error: AuthZPlugin\.AuthZRes: the ledger is full/);
  assert.equal(await cli.ok("run", "--rm", "busybox", "echo", "allowed"), "allowed");
  await cli.ok("run", "-d", "--name", "seen", "busybox", "sleep", "1000");
  assert.equal(await cli.ok("exec", "seen", "echo", "by exec"), "by exec");
  await cli.ok("rename", "seen", "hidden");
  assert.match((await cli.run(["inspect", "hidden"])).stderr, /authorization denied by plugin wire: not for you/);
  const archive = await cli.run(["cp", "hidden:/bin", "-"]);
  assert.equal(archive.code, 0, archive.stderr);
  await cli.ok("rm", "-f", "hidden");
  await reload(["nosuch"]);
  await until("the refusal of a reload", () => /Error reconfiguring the daemon: failed to validate authorization plugin/.test(engine.log()));
  assert.match((await cli.run(["run", "--rm", "--privileged", "busybox", "true"])).stderr, /no privileges here/, "what was in effect still is");
  await reload([]);
  await eventually(async () => assert.equal((await cli.run(["version"])).code, 0));
  assert.equal(await cli.ok("run", "--rm", "--privileged", "busybox", "echo", "free"), "free");
});

test("a volume whose plugin is gone: listed with a warning, refused to containers, forgotten by force", async () => {
  await cli.ok("volume", "create", "-d", "wire", "orphan");
  plugin.kill("SIGKILL");
  engine.machine.run("sh", "-c", "pkill -KILL -f 'plugins/[w]ire.ts' || true; rm -f /run/docker/plugins/wire.sock");
  await engine.kill();
  await engine.start();
  const { Volumes: volumes, Warnings: warnings } = await engine.api.json("GET", "/volumes");
  assert.deepEqual([volumes.map(({ Name, Driver }: { Name: string; Driver: string }) => [Name, Driver]), warnings.length], [[["orphan", "wire"]], 1]);
  assert.match((await cli.run(["run", "--rm", "--pull", "never", "-v", "orphan:/data", "busybox", "true"])).stderr, /plugin "wire" not found/);
  assert.match((await cli.run(["volume", "rm", "orphan"])).stderr, /plugin "wire" not found/);
  await cli.ok("volume", "rm", "-f", "orphan");
  assert.equal(await cli.ok("volume", "ls", "-q"), "");
});
