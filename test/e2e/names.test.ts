/** Containers of user-defined networks find each other by name, whatever becomes of the daemon and of the name server. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  // Nobody listens there: names that no container has fail at once.
  engine = await startedEngine({ flags: ["--dns", "127.0.0.1"] });
  await engine.api.json("POST", "/networks/create", { json: { Name: "names-net" } });
  await engine.api.json("POST", "/networks/create", { json: { Name: "names-inner", Internal: true } });
});
after(async () => endEngine(engine));

interface Inspected {
  Id: string;
  State: { Pid: number };
  NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
}

async function started(name: string, network: string, aliases: string[] = []): Promise<Inspected> {
  const body = { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: network }, NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: aliases } } } };
  const { Id } = await engine.api.json("POST", "/containers/create", { query: { name }, json: body });
  await engine.api.json("POST", `/containers/${Id}/start`);
  return engine.api.json("GET", `/containers/${Id}/json`);
}

const UNKNOWN = /can't find|SERVFAIL/;
const remove = (name: string): Promise<unknown> => engine.api.json("DELETE", `/containers/${name}`, { query: { force: true } });
const addressOf = ({ NetworkSettings }: Inspected, network = "names-net"): string => NetworkSettings.Networks[network]!.IPAddress;
/** With the container's own files and network. */
const inside = ({ State }: Inspected, command: string): string => engine.machine.run("nsenter", "--target", String(State.Pid), "--mount", "--net", "--", "sh", "-c", `${command} 2>&1 || true`);
const ask = (container: Inspected, name: string): string => inside(container, `nslookup ${name} 127.0.0.11`);

/** The name server's processes of this engine, as the test's machine numbers them. */
function nameServers(): number[] {
  const path = join(engine.execRoot, "dns.sock");
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1");
    } catch {
      return "";
    }
  };
  return readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && commandLine(name).includes(path)).map(Number);
}

test("names, aliases, short ids and addresses; the file points to the name server; other networks' names are unknown", async () => {
  const [a, b, c] = [await started("names-a", "names-net"), await started("names-b", "names-net", ["store"]), await started("names-c", "names-inner")];
  assert.match(inside(a, "cat /etc/resolv.conf"), /^nameserver 127\.0\.0\.11\n(search .*\n)?options .*ndots:0$/m);
  for (const name of ["names-b", "store", "STORE.names-net", b.Id.slice(0, 12)]) assert.match(ask(a, name), new RegExp(`Address.*: ${addressOf(b)}\\b`), name);
  assert.match(inside(a, "ping -c 1 -W 60 store"), /1 packets received/);
  assert.match(ask(a, addressOf(b)), /name = names-b\.names-net/);
  assert.match(ask(a, "names-c"), UNKNOWN);
  await engine.api.json("POST", "/networks/names-net/connect", { json: { Container: c.Id } });
  assert.match(ask(a, "names-c"), /Address.*: \d/);
  assert.match(ask(c, "store"), new RegExp(`: ${addressOf(b)}\\b`));
  await engine.api.json("POST", "/networks/names-net/disconnect", { json: { Container: c.Id } });
  assert.match(ask(c, "store"), UNKNOWN);
  await remove("names-b");
  assert.match(ask(a, "store"), UNKNOWN);
  await remove("names-a");
  await remove("names-c");
});

test("names are answered while the daemon is killed and restarted, and again when the name server was killed", async () => {
  const [a, b] = [await started("names-a", "names-net"), await started("names-b", "names-net")];
  const known = new RegExp(`: ${addressOf(b)}\\b`);
  const [server, ...others] = nameServers();
  assert.deepEqual([typeof server, others], ["number", []]);
  await engine.kill();
  assert.match(ask(a, "names-b"), known, "without a daemon");
  await engine.start();
  assert.match(ask(a, "names-b"), known);
  assert.deepEqual(nameServers(), [server], "the daemon took it up");
  const c = await started("names-c", "names-net");
  assert.match(ask(a, "names-c"), new RegExp(`: ${addressOf(c)}\\b`), "it learns on");
  process.kill(server!, "SIGKILL");
  await until("an answer of the new name server", () => known.test(ask(a, "names-b")) && known.test(ask(c, "names-b")));
  await engine.kill();
  process.kill(nameServers()[0]!, "SIGKILL");
  await engine.start();
  await until("an answer of the new daemon's name server", () => known.test(ask(a, "names-b")));
  for (const name of ["names-a", "names-b", "names-c"]) await remove(name);
});
