/** Networks of users' own by the stock docker command line, where it is installed, else by ours. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let cli: Cli;
before(async () => {
  engine = await startedEngine();
  const program = clients().find(({ name, program: found }) => name === "docker" && found)?.program ?? clients().find(({ program: found }) => found)!.program!;
  cli = new Cli(program, engine);
});
after(async () => endEngine(engine));

async function docker(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args);
  assert.equal(code, 0, `docker ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

const inside = (container: string, command: string): Promise<string> => docker("exec", container, "sh", "-c", command);

/** Until the command prints it. */
const prints = (container: string, command: string, expected: RegExp): Promise<void> => eventually(async () => assert.match(await inside(container, `${command} 2>&1 || true`), expected));

test("several networks: names, addresses, connect and disconnect, ports, restart of the daemon", async () => {
  await docker("network", "create", "--subnet", "10.77.1.0/24", "--ipv6", "--subnet", "fd00:77:1::/64", "--label", "team=x", "front");
  await docker("network", "create", "--internal", "back");
  await docker("run", "-d", "--name", "db", "--network", "back", "--network-alias", "database", "busybox", "sleep", "1000");
  await docker("run", "-d", "--name", "web", "--network", "front", "--ip", "10.77.1.9", "--ip6", "fd00:77:1::9", "-p", "21480:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
  await docker("network", "connect", "--alias", "shop", "back", "web");
  await prints("web", "ping -c1 -w2 database", /1 packets received/);
  await prints("db", "ping -c1 -w2 shop", /1 packets received/);
  assert.match(await inside("web", "ip -6 addr show eth0; ip -4 addr show eth1; ip route"), /fd00:77:1::9\/64[^]*inet [^]*default via 10\.77\.1\.1 dev eth0/);
  assert.match(engine.machine.run("nft", "list", "table", "inet", "gantry-docker0"), /tcp \. 21480 : 10\.77\.1\.9 \. 80[^]*tcp \. 21480 : fd00:77:1::9 \. 80/);
  assert.equal(await docker("network", "ls", "-q", "--filter", "label=team=x"), (await docker("network", "inspect", "-f", "{{.Id}}", "front")).slice(0, 12));
  assert.equal(await docker("port", "web", "80"), "0.0.0.0:21480\n[::]:21480");
  await engine.kill();
  await engine.start();
  await prints("db", "ping -c1 -w2 shop", /1 packets received/);
  assert.equal(await docker("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", "web"), "back front");
  await docker("network", "disconnect", "back", "web");
  assert.equal(await inside("web", "ls /sys/class/net | tr '\\n' ' '"), "eth0 lo");
  assert.doesNotMatch(await inside("db", "nslookup shop 127.0.0.11 2>&1 || true"), /^Address.*[: ](10|172)\.\d/m);
  const { code, stderr } = await cli.run(["network", "rm", "front"]);
  assert.deepEqual([code, /network front has active endpoints \(name:"web"/.test(stderr)], [1, true], stderr);
  await docker("restart", "-t", "0", "web");
  assert.equal(await docker("inspect", "-f", "{{.NetworkSettings.Networks.front.IPAddress}}", "web"), "10.77.1.9");
  await docker("rm", "-f", "web", "db");
  await docker("network", "rm", "front");
  assert.match(await docker("network", "prune", "-f"), /Deleted Networks:\nback/);
});

test("links of the default bridge: names in the hosts file, which follow a restart", async () => {
  await docker("run", "-d", "--name", "child", "--hostname", "ch", "busybox", "sleep", "1000");
  await docker("run", "-d", "--name", "parent", "--link", "child:db", "busybox", "sleep", "1000");
  const address = (): Promise<string> => docker("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "child");
  assert.match(await inside("parent", "cat /etc/hosts"), new RegExp(`^${await address()}\tdb ch child$`, "m"));
  await docker("stop", "-t", "0", "child");
  await docker("run", "-d", "--name", "between", "busybox", "sleep", "1000");
  await docker("start", "child");
  assert.match(await inside("parent", "cat /etc/hosts"), new RegExp(`^${await address()}\tdb ch child$`, "m"));
  assert.equal((await inside("parent", "grep -c 'db ch child$' /etc/hosts")).trim(), "1"); // a container's id may have a "db", too
  await docker("stop", "-t", "0", "child");
  await docker("stop", "-t", "0", "parent");
  const { code, stderr } = await cli.run(["start", "parent"]);
  assert.deepEqual([code, /Cannot link to a non running container: \/child AS \/parent\/db/.test(stderr)], [1, true], stderr);
  await docker("rm", "-f", "child", "parent", "between");
});

test("a network moves to another subnet while its containers run: addresses, routes, names, ports and hosts files follow", async () => {
  const own = new Cli(join(project, "bin/gantry"), engine);
  await docker("network", "create", "--subnet", "10.77.7.0/24", "nomad");
  await docker("run", "-d", "--name", "moved", "--network", "nomad", "--ip", "10.77.7.9", "-p", "21780:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
  await docker("run", "-d", "--name", "watcher", "--network", "nomad", "busybox", "sleep", "1000");
  await own.ok("run", "-d", "--name", "limited", "--network", "nomad", "--egress", "allow=moved:80", "busybox", "sleep", "1000");
  await docker("create", "--name", "later", "--network", "nomad", "--ip", "10.77.7.20", "busybox", "sleep", "1000");
  const move = (...args: string[]): Promise<string> => own.ok("network", "move", ...args, "nomad");
  const address = (name: string): Promise<string> => docker("inspect", "-f", "{{.NetworkSettings.Networks.nomad.IPAddress}}", name);
  const check = async (prefix: string, old: string): Promise<void> => {
    assert.deepEqual([await address("moved"), await address("watcher")], [`${prefix}.9`, `${prefix}.2`]);
    const seen = await inside("moved", "ip -4 addr show eth0; ip route; cat /etc/hosts");
    assert.match(seen, new RegExp(`inet ${prefix}\\.9/24[^]*default via ${prefix}\\.1 dev eth0[^]*\\n${prefix}\\.9\t`));
    assert.ok(!seen.includes(`${old}.`), seen);
    for (const client of ["watcher", "limited"]) await prints(client, "wget -q -O - http://moved/hostname", /^[0-9a-f]{12}$/m);
    assert.match(await inside("limited", `nc -w 2 ${await address("watcher")} 80 </dev/null 2>&1; echo ended $?`), /ended [^0]/, "limited as before");
    for (const host of ["127.0.0.1", "[::1]"]) assert.match(engine.machine.run(process.execPath, "-e", `fetch("http://${host}:21780/hostname", { signal: AbortSignal.timeout(60000) }).then((answer) => answer.text()).then((text) => process.stdout.write(text))`), /^[0-9a-f]{12}$/m, host);
    assert.match(engine.machine.run("nft", "list", "map", "inet", "gantry-docker0", "published-any"), new RegExp(`tcp \\. 21780 : ${prefix}\\.9 \\. 80`));
    assert.match(engine.machine.run("nft", "list", "set", "inet", "gantry-docker0", "masqueraded"), new RegExp(`${prefix}\\.0/24`));
    assert.match(await docker("network", "inspect", "-f", "{{json .IPAM.Config}}", "nomad"), new RegExp(`"Subnet":"${prefix}\\.0/24"`));
  };
  engine.machine.run("sh", "-ec", "ip link add vpn0 type veth peer name vpn1; ip link set vpn0 up; ip route add 10.77.7.0/25 dev vpn0");
  await eventually(() => assert.match(engine.log(), /the host's route to 10\.77\.7\.0\/25 through vpn0 overlaps the network nomad \(10\.77\.7\.0\/24\)/));
  assert.equal(await move("--subnet", "10.77.8.0/24"), "nomad");
  engine.machine.run("ip", "link", "del", "vpn0");
  await check("10.77.8", "10.77.7");
  await engine.kill();
  for (const [point, from, to] of [["network-move-renumbered", "10.77.8", "10.77.9"], ["network-move-recorded", "10.77.9", "10.77.7"]] as const) {
    await engine.start({ env: { GANTRY_FAULT: point } });
    await check(from, point === "network-move-renumbered" ? "10.77.7" : "10.77.8");
    await assert.rejects(move("--subnet", `${to}.0/24`));
    await engine.ended();
    await engine.start();
    await check(to, from);
    await engine.stop();
  }
  await engine.start();
  const refused = async (...args: string[]): Promise<string> => (await own.run(["network", "move", ...args])).stderr;
  assert.match(await refused("--subnet", "172.17.0.0/16", "nomad"), /Pool overlaps with other one on this address space/);
  assert.match(await refused("--subnet", "fd00:1::/64", "nomad"), /has no IPv6 subnet/);
  assert.match(await refused("--subnet", "10.77.10.0/24", "bridge"), /bridge is a pre-defined network/);
  assert.match(await refused("--subnet", "10.77.10.0/30", "nomad"), /no available IPv4 addresses/);
  await check("10.77.7", "10.77.8");
  await docker("start", "later");
  assert.equal(await address("later"), "10.77.7.20");
  assert.equal(await docker("events", "--since", "1h", "--until", "0s", "--filter", "event=overlap", "--format", "{{.Actor.Attributes.name}} {{.Actor.Attributes.route}}"), "nomad 10.77.7.0/25");
  await docker("rm", "-f", "moved", "watcher", "limited", "later");
  await docker("network", "rm", "nomad");
});
