/** Containers that may reach what they are allowed and nothing else. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually, until } from "../../src/lib/eventually.testing.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
  await engine.api.json("POST", "/networks/create", { json: { Name: "egress-net" } });
});
after(async () => endEngine(engine));

interface Inspected {
  Id: string;
  State: { Pid: number };
  HostConfig: { Egress?: string[] };
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string; NetworkID: string }> };
}

async function started(name: string, network: string, hostConfig: object = {}, command = ["sleep", "1000"]): Promise<Inspected> {
  const { Id } = await engine.api.json("POST", "/containers/create", { query: { name }, json: { Image: "busybox", Cmd: command, HostConfig: { NetworkMode: network, ...hostConfig } } });
  await engine.api.json("POST", `/containers/${Id}/start`);
  return engine.api.json("GET", `/containers/${Id}/json`);
}

const remove = (name: string): Promise<unknown> => engine.api.json("DELETE", `/containers/${name}`, { query: { force: true } });
const endpointOf = ({ NetworkSettings }: Inspected): { IPAddress: string; Gateway: string; NetworkID: string } => Object.values(NetworkSettings.Networks)[0]!;
const inside = ({ State }: Inspected, command: string): string => engine.machine.run("nsenter", "--target", String(State.Pid), "--mount", "--net", "--", "sh", "-c", `${command} 2>&1 || true`);
const GET = (address: string, port = 8080): string => `nc -w 30 ${address} ${port} </dev/null`;
const page = (answer: string): string => (answer.includes("hello") ? "hello" : answer);
/** Statically linked programs ask no name server by themselves. */
const addressFor = (container: Inspected, host: string): string => (/^[\d.]+$/.test(host) ? host : (/^Address: ([\d.]+)$/m.exec(inside(container, `nslookup ${host} 127.0.0.11`))?.[1] ?? ""));
function fetched(container: Inspected, host: string): string {
  const address = addressFor(container, host);
  return address === "" ? `no address for ${host}` : page(inside(container, GET(address)));
}
const SERVER = ["nc", "-ll", "-p", "8080", "-e", "echo", "hello"];

test("a container's rules and a network's: by name, by address, through restarts; denials are events", async () => {
  const since = Date.now() / 1000;
  const [web, other] = [await started("egress-web", "egress-net", {}, SERVER), await started("egress-other", "egress-net", {}, SERVER)];
  const free = await started("egress-free", "egress-net");
  await until("both servers answer", () => fetched(free, "egress-web") === "hello" && fetched(free, "egress-other") === "hello");
  const limited = await started("egress-limited", "egress-net", { Egress: ["allow=egress-web:8080"] });
  assert.deepEqual(limited.HostConfig.Egress, ["allow=egress-web:8080"]);
  assert.equal(fetched(limited, "egress-web"), "hello");
  for (const host of ["egress-other", endpointOf(other).IPAddress, endpointOf(limited).Gateway]) assert.doesNotMatch(fetched(limited, host), /hello/, host);
  assert.equal(fetched(free, "egress-other"), "hello", "others are not limited");
  await engine.kill();
  assert.doesNotMatch(fetched(limited, endpointOf(other).IPAddress), /hello/, "without a daemon");
  assert.equal(fetched(limited, "egress-web"), "hello");
  await engine.start();
  assert.equal(fetched(limited, "egress-web"), "hello");
  assert.doesNotMatch(fetched(limited, endpointOf(other).IPAddress), /hello/, "with the next one");
  await eventually(async () => {
    fetched(limited, endpointOf(other).IPAddress);
    const { body } = await engine.api.send("GET", "/events", { query: { since, until: Date.now() / 1000 + 0.1, filters: JSON.stringify({ event: ["deny"] }) } });
    const denied = body.toString();
    assert.ok(denied.includes(`"${endpointOf(other).IPAddress}"`), denied);
    assert.match(denied, new RegExp(`"Action":"deny".*"container":"${limited.Id}".*"port":"8080"`));
  });
  await remove("egress-limited");
  const [next] = [await started("egress-next", "egress-net")];
  assert.equal(fetched(next, "egress-other"), "hello", "an address that is used again is not limited");
  for (const name of ["egress-next", "egress-web", "egress-other", "egress-free"]) await remove(name);
  assert.equal(web.HostConfig.Egress, undefined);
});

test("on the default bridge, by the command line, and on networks; what cannot hold is refused", async () => {
  const web = await started("egress-web", "bridge", {}, SERVER);
  const address = endpointOf(web).IPAddress;
  const free = await started("egress-free", "bridge");
  await until("the server answers", () => fetched(free, address) === "hello");
  const cli = new Cli(join(project, "bin/gantry"), engine);
  const run = (...args: string[]) => cli.run(args);
  assert.equal((await run("run", "--rm", "--egress", `allow=${address}:8080`, "busybox", "sh", "-c", GET(address))).stdout.trim(), "hello");
  assert.notEqual((await run("run", "--rm", "--egress", `allow=${address}:80`, "busybox", "sh", "-c", GET(address))).code, 0);
  assert.equal((await run("network", "create", "--egress", "allow=192.0.2.0/24:443", "egress-strict")).code, 0);
  const strict = await started("egress-strict", "egress-strict");
  assert.match(inside(strict, GET("192.0.2.1", 80)), /refused|reset|denied|prohibited/i);
  assert.match((await run("run", "--rm", "--egress", "allow=a:b", "busybox", "true")).stderr, /invalid egress rule "allow=a:b"/);
  assert.match((await run("run", "--rm", "--network", "host", "--egress", "allow=a", "busybox", "true")).stderr, /conflicting options: egress and the network mode/);
  for (const name of ["egress-strict", "egress-free", "egress-web"]) await remove(name);
});
