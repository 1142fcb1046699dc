/** Compose as its users drive it (docker-compose, of either generation): networks of every usual kind, names, ports, health, scaling, and nothing left. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { eventually } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { which } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

const run = promisify(execFile);
const skip = which("docker-compose") === undefined ? "no docker-compose (Debian: apt-get install docker-compose)" : false;

const FILE = `
version: "2.4"
services:
  db:
    image: busybox
    command: sh -c "mkdir /w; echo stored >/w/index.html; exec httpd -f -p 8080 -h /w"
    networks: { back: { aliases: [database], ipv4_address: 10.66.1.10 } }
    healthcheck: { test: ["CMD-SHELL", "wget -qO- http://127.0.0.1:8080/"], interval: 1s, timeout: 20s, retries: 90 }
    volumes: ["data:/data"]
  web:
    image: busybox
    command: sh -c "mkdir /w; wget -qO /w/index.html http://database:8080/; exec httpd -f -p 80 -h /w"
    depends_on: { db: { condition: service_healthy } }
    networks: [front, back]
    links: ["db:store"]
    ports: ["80", "127.0.0.1::80"]
    extra_hosts: ["fixed.example.test:192.0.2.77"]
    dns: [192.0.2.53]
  beside:
    image: busybox
    command: sleep 100000
    network_mode: "service:web"
  lonely:
    image: busybox
    command: sleep 100000
    networks: { six: { ipv6_address: "fd66:1::10" }, hidden: {}, outer: {} }
  worker:
    image: busybox
    command: sleep 100000
    networks: [hidden]
networks:
  front: { driver_opts: { com.docker.network.driver.mtu: "1400" } }
  back: { ipam: { config: [{ subnet: 10.66.1.0/24, gateway: 10.66.1.254, ip_range: 10.66.1.128/25 }] } }
  six: { enable_ipv6: true, ipam: { config: [{ subnet: 10.66.2.0/24 }, { subnet: "fd66:1::/64", gateway: "fd66:1::1" }] } }
  hidden: { internal: true }
  outer: { external: true, name: outer-net }
volumes: { data: {} }
`;

let engine: Engine;
before(async () => {
  if (skip === false) engine = await startedEngine();
});
after(async () => {
  if (skip === false) await endEngine(engine);
});

async function compose(...args: string[]): Promise<string> {
  const project = join(engine.machine.folder, "shop");
  mkdirSync(project, { recursive: true });
  writeFileSync(join(project, "docker-compose.yml"), FILE);
  const env = { ...process.env, DOCKER_HOST: `unix://${engine.socket}`, DOCKER_CONFIG: engine.machine.folder };
  return (await run("docker-compose", args, { cwd: project, env, timeout: 300_000 })).stdout;
}

const inside = async (service: string, script: string): Promise<string> => (await compose("exec", "-T", service, "sh", "-c", script)).trim();
const listed = async (): Promise<Json[]> => engine.api.json("GET", "/containers/json", { query: { all: true } });
const ids = async (): Promise<string[]> => (await listed()).map(({ Id }) => Id).sort();

test("compose", { skip }, async () => {
  await engine.api.json("POST", "/networks/create", { json: { Name: "outer-net" } });
  await compose("up", "-d");

  // Its server needs a moment.
  await eventually(async () => assert.equal(await inside("beside", "wget -qO- http://127.0.0.1/"), "stored", "by alias, once it was healthy; and in another's namespace"));
  assert.match(await inside("db", "ip -o -4 addr show dev eth0"), /inet 10\.66\.1\.10\/24 /);
  const web = await inside("web", "wget -qO- http://store:8080/; cat /sys/class/net/eth*/mtu | sort; cat /etc/hosts /etc/resolv.conf; ip -o -4 addr");
  assert.match(web, /^stored\n1400\n1500\n/, "by link");
  assert.match(web, /^192\.0\.2\.77\s+fixed\.example\.test$/m);
  assert.match(web, /^nameserver 127\.0\.0\.11$/m);
  assert.match(web, /inet 10\.66\.1\.(12[89]|1[3-9]\d|2[0-4]\d|25[0-3])\/24 /, "of the range");
  const ports = (await listed()).flatMap(({ Ports }) => Ports as Json[]).filter(({ PublicPort, IP }) => PublicPort !== undefined && IP !== "::");
  assert.equal(ports.length, 2);
  for (const { PublicPort } of ports) assert.equal(engine.machine.run("busybox", "wget", "-qO-", `http://127.0.0.1:${PublicPort}/`), "stored\n");
  const lonely = await inside("lonely", "ip -o -6 addr show scope global; ip -4 route");
  assert.match(lonely, /inet6 fd66:1::10\/64 /);
  assert.equal(lonely.match(/ dev eth\d scope link /g)?.length, 3, "in three networks");

  const first = await ids();
  await compose("up", "-d");
  assert.deepEqual(await ids(), first, "nothing is made anew that has not changed");
  await compose("up", "-d", "--scale", "worker=3");
  assert.equal((await ids()).length, first.length + 2);
  assert.equal((await inside("lonely", "nslookup worker 127.0.0.11")).match(/^Address: .*\d$/gm)?.length, 3, "a name for all three");

  await compose("down", "-v", "-t", "0");
  assert.deepEqual(await listed(), []);
  const networks: Json[] = await engine.api.json("GET", "/networks");
  assert.deepEqual(networks.map(({ Name }) => Name).sort(), ["bridge", "host", "none", "outer-net"]);
  assert.deepEqual((await engine.api.json("GET", "/volumes")).Volumes, []);
});
