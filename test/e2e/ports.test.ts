/** Published ports through the API: what is shown, who reaches them, what is refused, and what a daemon that dies leaves. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { eventually, until } from "../../src/lib/eventually.testing.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  // What the kernel does by itself; the relay has tests of its own.
  engine = await startedEngine({ flags: ["--userland-proxy=false"] });
});
after(async () => endEngine(engine));

interface Inspected {
  Id: string;
  State: { Pid: number };
  NetworkSettings: { Ports: Record<string, { HostIp: string; HostPort: string }[] | null>; Networks: Record<string, { IPAddress: string }> };
}

const inspect = (id: string): Promise<Inspected> => engine.api.json("GET", `/containers/${id}/json`);
const remove = (id: string): Promise<unknown> => engine.api.json("DELETE", `/containers/${id}`, { query: { force: true } });
const SERVE = ["sh", "-c", "mkdir -p /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w"];

async function create(name: string, hostConfig: object, more: object = {}): Promise<string> {
  const { Id } = await engine.api.json("POST", "/containers/create", { query: { name }, json: { Image: "busybox", Cmd: SERVE, HostConfig: hostConfig, ...more } });
  return Id as string;
}

async function started(name: string, hostConfig: object, more: object = {}): Promise<Inspected> {
  const id = await create(name, hostConfig, more);
  await engine.api.json("POST", `/containers/${id}/start`);
  return inspect(id);
}

const tcp = (...hostPorts: (number | string)[]): object => ({ PortBindings: { "80/tcp": hostPorts.map((port) => ({ HostPort: String(port) })) } });

/** From the machine itself; waits for the server, not for the network. */
const fetched = (url: string): Promise<string> => eventually(() => engine.machine.run(process.execPath, "-e", `fetch(${JSON.stringify(url)}, { signal: AbortSignal.timeout(10_000) }).then((answer) => answer.text()).then((text) => process.stdout.write(text), () => process.exit(1))`).trim());

/** Whether a program of the machine gets the port. */
function canListen(port: number): boolean {
  try {
    engine.machine.run(process.execPath, "-e", `require("net").createServer().listen(${port}, "0.0.0.0", () => process.exit(0)).on("error", () => process.exit(1))`);
    return true;
  } catch {
    return false;
  }
}

test("inspect and lists show what is published while the container runs", async () => {
  const id = await create("ports-a", { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "21080" }, { HostPort: "21081" }], "53/udp": [{ HostPort: "" }] } }, { ExposedPorts: { "81/tcp": {} } });
  assert.deepEqual((await inspect(id)).NetworkSettings.Ports, {});
  await engine.api.json("POST", `/containers/${id}/start`);
  const { NetworkSettings } = await inspect(id);
  const dynamic = NetworkSettings.Ports["53/udp"]![0]!.HostPort;
  assert.ok(Number(dynamic) >= 1024);
  assert.deepEqual(NetworkSettings.Ports, { "53/udp": [{ HostIp: "0.0.0.0", HostPort: dynamic }], "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "21080" }, { HostIp: "0.0.0.0", HostPort: "21081" }], "81/tcp": null });
  const [row] = await engine.api.json("GET", "/containers/json");
  assert.deepEqual(row.Ports, [
    { IP: "0.0.0.0", PrivatePort: 53, PublicPort: Number(dynamic), Type: "udp" },
    { IP: "127.0.0.1", PrivatePort: 80, PublicPort: 21080, Type: "tcp" },
    { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 21081, Type: "tcp" },
    { IP: "", PrivatePort: 81, Type: "tcp" },
  ]);
  const found = async (filters: object): Promise<number> => (await engine.api.json("GET", "/containers/json", { query: { filters: JSON.stringify(filters) } })).length;
  assert.deepEqual(await Promise.all([found({ publish: ["21080"] }), found({ publish: ["80"] }), found({ publish: ["21000-21100/tcp"] }), found({ expose: ["80"] }), found({ expose: ["21080"] })]), [1, 0, 1, 1, 0]);
  assert.equal(await fetched("http://127.0.0.1:21080/"), "served");
  assert.equal(await fetched("http://127.0.0.1:21081/"), "served");
  await engine.api.json("POST", `/containers/${id}/stop`, { query: { t: 0 } });
  assert.deepEqual((await inspect(id)).NetworkSettings.Ports, {});
  await remove(id);
  assert.ok(canListen(21080) && canListen(21081), "given back");
});

test("ranges, all exposed ports, and ports that are taken", async () => {
  const first = await started("ports-b", tcp("21190-21192"));
  const second = await started("ports-c", tcp("21190-21192"));
  assert.deepEqual([first, second].map(({ NetworkSettings }) => NetworkSettings.Ports["80/tcp"]), [[{ HostIp: "0.0.0.0", HostPort: "21190" }], [{ HostIp: "0.0.0.0", HostPort: "21191" }]]);
  const all = await started("ports-d", { PublishAllPorts: true }, { ExposedPorts: { "80/tcp": {}, "82/udp": {} } });
  assert.deepEqual(Object.entries(all.NetworkSettings.Ports).map(([port, bindings]) => [port, bindings?.length, bindings?.[0]?.HostIp]), [["80/tcp", 1, "0.0.0.0"], ["82/udp", 1, "0.0.0.0"]]);
  assert.equal(await fetched(`http://127.0.0.1:${all.NetworkSettings.Ports["80/tcp"]![0]!.HostPort}/`), "served");
  const conflict = await create("ports-e", tcp("21190"));
  const { status, body } = await engine.api.send("POST", `/containers/${conflict}/start`);
  assert.equal(status, 500);
  assert.match(JSON.parse(body.toString()).message, /^failed to set up container networking: driver failed programming external connectivity on endpoint ports-e \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:21190 failed: port is already allocated$/);
  const six = await create("ports-f", { PortBindings: { "80/tcp": [{ HostIp: "::1", HostPort: "21199" }] } });
  assert.equal((await engine.api.send("POST", `/containers/${six}/start`)).status, 501);
  const odd = await create("ports-g", { PortBindings: { "80/xyz": [{ HostPort: "21198" }] } });
  assert.equal((await engine.api.send("POST", `/containers/${odd}/start`)).status, 400);
  await remove(first.Id);
  await engine.api.json("POST", `/containers/${conflict}/start`);
  assert.equal(await fetched("http://127.0.0.1:21190/"), "served");
  for (const id of [second.Id, all.Id, conflict, six, odd]) await remove(id);
});

test("ports of a running container change by the command line, and stay so over restarts", async () => {
  const cli = new Cli(join(project, "bin/gantry"), engine);
  const { Id } = await started("ports-k", tcp(21380));
  const events = cli.start("events", "--since", String(Date.now() / 1000), "--filter", "event=update", "--format", "{{.Action}} {{.Actor.Attributes.name}}");
  const told = once(events.stdout, "data");
  assert.equal(await cli.ok("update", "--publish-rm", "21380:80", "--publish-add", "21381:80", "--publish-add", "127.0.0.1:21382-21383:80-81/tcp", "ports-k"), "ports-k");
  assert.match(String(await told), /^update ports-k/);
  events.kill();
  const expected = { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "21381" }, { HostIp: "127.0.0.1", HostPort: "21382" }], "81/tcp": [{ HostIp: "127.0.0.1", HostPort: "21383" }] };
  const shown = async (): Promise<unknown> => (await inspect(Id)).NetworkSettings.Ports;
  assert.deepEqual(await shown(), expected);
  assert.equal(await cli.ok("ps", "--filter", "name=ports-k", "--format", "{{.Ports}}"), "0.0.0.0:21381->80/tcp, 127.0.0.1:21382->80/tcp, 127.0.0.1:21383->81/tcp");
  assert.equal(await cli.ok("port", "ports-k", "81"), "127.0.0.1:21383");
  assert.deepEqual([await fetched("http://127.0.0.1:21381/"), await fetched("http://127.0.0.1:21382/")], ["served", "served"]);
  assert.deepEqual([canListen(21380), canListen(21381)], [true, false]);
  const refusals: [args: string[], why: RegExp][] = [
    [["--publish-add", "21384:82", "--publish-add", "21381:83", "ports-k"], /Cannot update container [0-9a-f]{64}: driver failed .* Bind for 0\.0\.0\.0:21381 failed: port is already allocated/],
    [["--publish-rm", "84", "ports-k"], /port 84\/tcp is not published/],
    [["--publish-add", "x:80", "ports-k"], /invalid hostPort: x/],
  ];
  for (const [args, why] of refusals) assert.match((await cli.run(["update", ...args])).stderr, why);
  assert.deepEqual(await shown(), expected, "a refusal changes nothing");
  assert.ok(canListen(21384));
  await engine.kill();
  await engine.start();
  assert.deepEqual(await shown(), expected);
  assert.ok(!canListen(21382) && canListen(21380));
  await cli.ok("update", "--publish-rm", "127.0.0.1:21382:80", "ports-k");
  assert.ok(canListen(21382));
  assert.equal(await fetched("http://127.0.0.1:21381/"), "served");
  await cli.ok("restart", "-t", "0", "ports-k");
  assert.deepEqual(await shown(), { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "21381" }], "81/tcp": expected["81/tcp"] });
  await cli.ok("stop", "-t", "0", "ports-k");
  await cli.ok("update", "--publish-rm", "80", "--publish-rm", "81", "--publish-add", "21385:80", "ports-k");
  await cli.ok("start", "ports-k");
  assert.deepEqual(await shown(), { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "21385" }] });
  assert.equal(await fetched("http://127.0.0.1:21385/"), "served");
  await remove(Id);
});

test("consecutive ports lose one of them while they are published, and the others outlive the daemon", async () => {
  const bindings = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`${80 + index}/tcp`, [{ HostPort: String(21_700 + index) }]]));
  const { Id } = await started("ports-run", { PortBindings: bindings });
  const shown = async (): Promise<string[]> => Object.entries((await inspect(Id)).NetworkSettings.Ports).map(([port, bound]) => `${port} ${bound!.map(({ HostIp, HostPort }) => `${HostIp}:${HostPort}`).join()}`);
  const all = Array.from({ length: 20 }, (_, index) => `${80 + index}/tcp 0.0.0.0:${21_700 + index}`);
  assert.deepEqual((await shown()).sort(), all.sort());
  assert.equal(await fetched("http://127.0.0.1:21700/"), "served");
  await engine.api.json("POST", `/containers/${Id}/update`, { json: { PublishRemove: { "85/tcp": [{ HostPort: "21705" }] } } });
  const left = all.filter((text) => !text.startsWith("85/"));
  for (const [life, again] of [["first", false], ["second", true]] as const) {
    if (again) {
      await engine.kill();
      await engine.start();
    }
    assert.deepEqual((await shown()).sort(), left, life);
    assert.deepEqual([21_704, 21_705, 21_706].map(canListen), [false, true, false], life);
    assert.equal(await fetched("http://127.0.0.1:21700/"), "served");
  }
  await engine.api.json("POST", `/containers/${Id}/update`, { json: { PublishAdd: { "85/tcp": [{ HostPort: "21705" }] } } });
  assert.deepEqual((await shown()).sort(), all);
  await remove(Id);
  assert.ok(canListen(21_705) && canListen(21_719), "given back");
});

test("live ports are those of the network with the default route, and follow it; without one of the engine's they are refused", async () => {
  const update = (id: string, json: object): Promise<{ status: number; body: Buffer }> => engine.api.send("POST", `/containers/${id}/update`, { json });
  for (const Name of ["ports-x", "ports-y"]) await engine.api.json("POST", "/networks/create", { json: { Name } });
  const { Id } = await started("ports-l", { NetworkMode: "ports-y" });
  await engine.api.json("POST", "/networks/ports-x/connect", { json: { Container: Id } });
  const published = (): string => engine.machine.run("nft", "list", "map", "inet", "gantry-docker0", "published-any");
  assert.equal((await update(Id, { PublishAdd: { "80/tcp": [{ HostPort: "21480" }] } })).status, 200);
  const { "ports-x": x, "ports-y": y } = (await inspect(Id)).NetworkSettings.Networks;
  assert.ok(published().includes(`tcp . 21480 : ${x!.IPAddress} . 80`));
  await engine.api.json("POST", "/networks/ports-x/disconnect", { json: { Container: Id } });
  assert.ok(published().includes(`tcp . 21480 : ${y!.IPAddress} . 80`));
  assert.equal((await update(Id, { PublishRemove: { "80/tcp": [{ HostPort: "21480" }] } })).status, 200);
  assert.doesNotMatch(published(), /21480/);
  const modes: [mode: string, why: RegExp][] = [["host", /it has the host's network/], ["none", /it has no network/], [`container:${Id}`, /it has another container's network/]];
  for (const [NetworkMode, why] of modes) {
    const other = await create("ports-m", { NetworkMode });
    const { status, body } = await update(other, { PublishAdd: { "80/tcp": [{ HostPort: "21481" }] } });
    assert.deepEqual([status, why.test(body.toString())], [409, true], body.toString());
    await remove(other);
  }
  await remove(Id);
  for (const name of ["ports-x", "ports-y"]) await engine.api.json("DELETE", `/networks/${name}`);
});

test("SIGHUP has the machine's own firewall asked about published ports, also while the daemon is away, and no more", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "gty-config-")), "daemon.json");
  writeFileSync(file, "{}");
  await engine.stop();
  await engine.start({ flags: ["--config-file", file] });
  const server = await started("ports-n", tcp(21580));
  await engine.api.json("POST", "/networks/create", { json: { Name: "ports-z", IPAM: { Config: [{ Subnet: "10.77.3.0/24" }] } } });
  const client = await started("ports-o", { NetworkMode: "ports-z" });
  /** Within a minute where it is to be let through; two seconds of silence are a no. */
  const asks = (seconds = 60): boolean => {
    try {
      return engine.machine.run("nsenter", `--net=/proc/${client.State.Pid}/ns/net`, "timeout", String(seconds), "bash", "-c", 'exec 3<>/dev/tcp/10.77.3.1/21580; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3').includes("served");
    } catch {
      return false;
    }
  };
  const reload = async (firewall: string): Promise<void> => {
    writeFileSync(file, JSON.stringify({ firewall }));
    engine.machine.run("kill", "-HUP", String(engine.pid()));
    await until("the reload", () => engine.machine.run("nft", "list", "tables").includes("gantry-docker0-detour") === (firewall === "honour-host"));
  };
  const strict = "flush chain inet strict in; add rule inet strict in iifname lo accept; add rule inet strict in ct state established accept";
  engine.machine.run("nft", `add table inet strict; add chain inet strict in { type filter hook input priority 0; policy drop; }; ${strict}`);
  await fetched("http://127.0.0.1:21580/");
  assert.ok(asks(), "docker's mode does not ask");
  await reload("honour-host");
  assert.ok(!asks(2));
  await engine.kill();
  engine.machine.run("nft", "add rule inet strict in tcp dport 21580 accept");
  assert.ok(asks(), "while the daemon is away");
  await engine.start({ flags: ["--config-file", file] });
  assert.ok(asks());
  engine.machine.run("nft", strict);
  assert.ok(!asks(2));
  assert.equal(await fetched("http://127.0.0.1:21580/"), "served", "the machine itself is not asked");
  await reload("docker");
  assert.ok(asks());
  engine.machine.run("nft", "delete table inet strict");
  for (const { Id } of [server, client]) await remove(Id);
  await engine.api.json("DELETE", "/networks/ports-z");
  rmSync(dirname(file), { recursive: true });
});

test("a daemon that is killed: ports stay reserved, connections go on, and the next one gives them back", async () => {
  const { Id } = await started("ports-h", tcp(21280));
  const gone = await started("ports-i", tcp(21281));
  assert.equal(await fetched("http://127.0.0.1:21280/"), "served");
  await engine.kill();
  assert.equal(await fetched("http://127.0.0.1:21280/"), "served");
  assert.ok(!canListen(21280));
  engine.machine.run("kill", "-9", String(gone.State.Pid));
  const polling = spawn(...engine.machine.command([process.execPath, "-e", 'const ask = () => fetch("http://127.0.0.1:21280/", { signal: AbortSignal.timeout(60_000), headers: { connection: "close" } }).then((answer) => answer.text()).then(ask, () => process.exit(1)); ask()']), { stdio: "ignore" });
  await engine.start();
  assert.equal(polling.exitCode, null, "no connection failed while the daemon started");
  polling.kill("SIGKILL");
  assert.deepEqual((await inspect(Id)).NetworkSettings.Ports["80/tcp"], [{ HostIp: "0.0.0.0", HostPort: "21280" }]);
  assert.ok(!canListen(21280));
  assert.ok(canListen(21281), "of the container that ended meanwhile");
  const other = await create("ports-j", tcp(21280));
  assert.match((await engine.api.send("POST", `/containers/${other}/start`)).body.toString(), /port is already allocated/);
  for (const id of [Id, gone.Id, other]) await remove(id);
  assert.ok(canListen(21280));
});
