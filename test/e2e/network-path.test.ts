/** `network path`: the way of packets as the kernel has it, where it ends and why, and that a real packet agrees. */
import assert from "node:assert/strict";
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
  await cli.ok("network", "create", "--subnet", "10.77.5.0/24", "front");
  await cli.ok("network", "create", "--internal", "--subnet", "10.77.6.0/24", "back");
  await cli.ok("run", "-d", "--name", "web", "--network", "front", "-p", "21680:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
  await cli.ok("run", "-d", "--name", "client", "--network", "front", "busybox", "sleep", "1000");
  await cli.ok("run", "-d", "--name", "hidden", "--network", "back", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
  await cli.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000");
  for (const name of ["web", "hidden"]) await until(`the server of ${name}`, async () => (await cli.run(["exec", name, "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/hostname"])).code === 0);
});
after(async () => endEngine(engine));

interface Found {
  reached: string;
  /** "where kind verdict text" of each step. */
  steps: string[];
  probe: Json;
  code: number;
}

async function path(...args: string[]): Promise<Found> {
  const { code, stdout, stderr } = await cli.run(["network", "path", "--format", "json", ...args]);
  assert.ok(stdout.startsWith("{"), stderr);
  const { Reached, Steps, Probe } = JSON.parse(stdout);
  return { code, reached: Reached, probe: Probe, steps: Steps.map(({ Where, Kind, Verdict, Text }: Json) => `${Where} ${Kind} ${Verdict} ${Text}`) };
}

/** In this order, others between them. */
function assertSteps({ steps }: Found, ...expected: RegExp[]): void {
  let at = 0;
  for (const pattern of expected) {
    const found = steps.findIndex((step, index) => index >= at && pattern.test(step));
    assert.ok(found >= 0, `no ${String(pattern)} from ${at} on in\n${steps.join("\n")}`);
    at = found + 1;
  }
}

const lastStep = ({ steps }: Found): string => steps.at(-1) ?? "";

test("within a network: by name, port to port of the bridge, to a program that listens; the probe agrees", async () => {
  const found = await path("--probe", "client", "web:80");
  assertSteps(found, /^container client name pass web is 10\.77\.5\.2, web in the network front/, /^host interface pass in at veth\w+, a port of the bridge br-/, /^host rule pass before routing: table bridge gantry-docker0-guard, chain guard: its own packets accepts/, /^host interface pass out at veth/, /^container web interface pass in at eth0/, /^container web socket pass a program has tcp port 80/);
  assert.deepEqual([found.reached, found.code], ["yes", 0]);
  assert.match(found.probe.Text, /^tcp 10\.77\.5\.2:80 connected in/);
  const nobody = await path("--probe", "client", "web:81");
  assert.match(lastStep(nobody), /^container web socket stop no program has tcp port 81 of 10\.77\.5\.2/);
  assert.deepEqual([nobody.reached, nobody.code, nobody.probe.Succeeded], ["no", 1, false]);
  assert.match(nobody.probe.Text, /the connection was refused/);
  assert.match(await cli.ok("network", "path", "client", "web"), /It arrives\.$/, "ICMP, as text");
});

test("between networks, into internal ones and out: the rule that ends it is named", async () => {
  const other = await path("--probe", "plain", "10.77.5.2:80");
  assertSteps(other, /^container plain route pass to 10\.77\.5\.2 \(web\) by eth0 through 172\.\d+\.0\.1 \(the gateway of bridge\)/);
  assert.match(lastStep(other), /^host rule stop forwarded: table inet gantry-docker0, chain containers: nothing else reaches containers drops/);
  assert.equal(other.probe.Succeeded, false);
  const secluded = await path("hidden", "203.0.113.9");
  assert.match(lastStep(secluded), /^container hidden route stop to 203\.0\.113\.9: there is no route to it/);
  const unnamed = await path("plain", "web:80");
  assertSteps(unnamed, /^container plain name note web is not a name for it/);
});

test("published ports: from outside, from another network, from the host; closed ones", async () => {
  const outside = await path("plain", "10.77.5.1:21680");
  assertSteps(outside, /^host route pass 10\.77\.5\.1 \(the gateway of front\) is an address of this host/, /^host rule pass before routing: table inet gantry-docker0, chain publish: ports of every address redirects/, /^host redirect pass redirected to 10\.77\.5\.2 \(web\) port 80/, /chain allow accepts/, /^container web socket pass/);
  assert.equal(outside.reached, "yes");
  const host = await path("--probe", "host", "host:21680");
  assertSteps(host, /^host redirect pass redirected to 10\.77\.5\.2 \(web\) port 80/, /after routing: table inet gantry-docker0, chain masquerade: published ports to their own subnet masquerades/);
  assert.deepEqual([host.reached, host.probe.Succeeded], ["yes", true]);
  const closed = await path("--probe", "host", "127.0.0.1:21681");
  assert.match(lastStep(closed), /^host socket stop no program has tcp port 21681/);
  assert.equal(closed.probe.Succeeded, false);
});

test("other programs' rules: those that are understood, and a probe for the rest", async () => {
  engine.machine.run("nft", "add table inet strict; add chain inet strict forward { type filter hook forward priority 0; policy drop; }");
  await until("the engine's rule in another program's chain", () => engine.machine.run("nft", "list", "chain", "inet", "strict", "forward").includes("0x10000000"));
  assertSteps(await path("plain", "10.77.5.1:21680"), /^host rule pass forwarded: table inet strict, chain forward: gantry: what its own table accepts accepts/);
  engine.machine.run("nft", "add table inet mine; add chain inet mine forward { type filter hook forward priority -20; }; add rule inet mine forward ip daddr 10.77.5.2 tcp dport 80 drop comment closed");
  const dropped = await path("--probe", "plain", "10.77.5.1:21680");
  assert.match(lastStep(dropped), /^host rule stop forwarded: table inet mine, chain forward: closed drops/);
  assert.equal(dropped.probe.Succeeded, false);
  engine.machine.run("nft", "delete table inet strict; delete table inet mine");
});

test("what cannot be asked is refused by name", async () => {
  const refused = async (...args: string[]): Promise<string> => (await cli.run(["network", "path", ...args])).stderr;
  assert.match(await refused("web", "nobody:80"), /No such container: nobody/);
  assert.match(await refused("--probe", "outside", "host:80"), /a probe is sent from a container or from this host/);
  assert.match(await refused("web", "outside"), /what is outside needs an address/);
  assert.match(await refused("--protocol", "tcp", "web", "client"), /tcp needs a port/);
  assert.match(await refused("web", "client:99999"), /invalid end of a path/);
});
