/** Row 14: a TCP stream, and one byte there and back, over a bridge and through a published port, against the same hops made by hand. */
import type { ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../../test/harness/engine.ts";
import { Machine } from "../../test/harness/machine.ts";
import { buildTraffic, netnsOf, trafficServer } from "../traffic.ts";
import type { Engines } from "../engines.ts";
import { compare, type Line, stat } from "../measure.ts";

const rounds = 7;
const seconds = 2;
const served = 7000;
const published = 7001;

/** From where to where, as the traffic program's arguments have it. */
interface Way {
  /** The namespace's path inside the machine; absent: the machine's own. */
  from?: string;
  host: string;
  port: number;
}

interface Side {
  machine: Machine;
  program: string;
  ways: Record<"bridge" | "outside" | "localhost", Way>;
}

const WAYS = [["bridge", "over a bridge"], ["outside", "through a published port, from another namespace"], ["localhost", "through a published port, from localhost"]] as const;

export async function run(engines: Engines): Promise<Line[]> {
  const engine = await engines.ours();
  const machine = await Machine.create();
  const servers: ChildProcess[] = [];
  try {
    const sides = [await ours(engine), await handMade(machine, servers)];
    const lines: Line[] = [];
    let letter = 0;
    for (const [kind, what, unit] of [["stream", "TCP stream", "MB/s"], ["rr", "one byte there and back", "/s"]] as const) {
      for (const [way, where] of WAYS) {
        const samples: number[][] = sides.map(() => []);
        for (let round = 0; round <= rounds; round++) for (const [index, side] of sides.entries()) {
          const value = measure(side, side.ways[way], kind);
          if (round > 0) samples[index]?.push(value);
        }
        const [own, theirs] = samples.map(stat);
        lines.push(compare({ id: `14${"abcdef"[letter++]}`, what: `${what} ${where}`, unit, ours: own!, peer: "veth, bridge and DNAT by hand", theirs: theirs!, target: { least: 0.97 } }));
      }
    }
    return lines;
  } finally {
    for (const server of servers) server.kill("SIGKILL");
    await machine[Symbol.asyncDispose]();
  }
}

function measure({ machine, program }: Side, { from, host, port }: Way, kind: "stream" | "rr"): number {
  const command = [program, kind, host, String(port), String(seconds)];
  return Number(machine.run(...(from === undefined ? command : ["nsenter", `--net=${from}`, ...command])));
}

/** A neighbour of the machine on a wire of its own: 192.0.2.2, which reaches the machine as 192.0.2.1. */
function neighbour(machine: Machine): string {
  machine.run("sh", "-c", "mkdir -p /run/netns && ip netns add outside && ip link add up0 type veth peer name eth0 netns outside && ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up && ip -n outside addr add 192.0.2.2/24 dev eth0 && ip -n outside link set eth0 up");
  return "/run/netns/outside";
}

async function ours(engine: Engine): Promise<Side> {
  const program = buildTraffic(engine.machine);
  const server = await trafficServer(engine, program, { port: served, published });
  const client = await trafficServer(engine, program, { port: served });
  const address: string = (await engine.api.json("GET", `/containers/${server}/json`)).NetworkSettings.Networks.bridge.IPAddress;
  return {
    machine: engine.machine,
    program,
    ways: {
      bridge: { from: await netnsOf(engine, client), host: address, port: served },
      outside: { from: neighbour(engine.machine), host: "192.0.2.1", port: published },
      localhost: { host: "127.0.0.1", port: published },
    },
  };
}

/** The same hops: two namespaces at a bridge by veth pairs, and one rule for each way to the published port. */
async function handMade(machine: Machine, servers: ChildProcess[]): Promise<Side> {
  const program = buildTraffic(machine);
  const outside = neighbour(machine);
  machine.run("sh", "-c", "ip link add hand0 type bridge forward_delay 0 && ip addr add 10.99.0.1/24 dev hand0 && ip link set hand0 up && sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.hand0.route_localnet=1");
  for (const [name, number] of [["server", 2], ["client", 3]] as const) {
    machine.run("sh", "-c", `ip netns add ${name} && ip link add v${name} type veth peer name eth0 netns ${name} && ip link set v${name} master hand0 up && ip -n ${name} addr add 10.99.0.${number}/24 dev eth0 && ip -n ${name} link set eth0 up && ip -n ${name} link set lo up && ip -n ${name} route add default via 10.99.0.1`);
  }
  const dnat = `fib daddr type local tcp dport ${published} dnat ip to 10.99.0.2:${served}`;
  machine.run("nft", `add table inet hand; add chain inet hand pre { type nat hook prerouting priority -100; }; add rule inet hand pre ${dnat}; add chain inet hand out { type nat hook output priority -100; }; add rule inet hand out ${dnat}; add chain inet hand post { type nat hook postrouting priority 100; }; add rule inet hand post ip saddr 127.0.0.0/8 oifname hand0 masquerade`);
  servers.push(machine.spawn(["nsenter", "--net=/run/netns/server", program, "serve", String(served)], { stdio: "ignore" }));
  await delay(500);
  return {
    machine,
    program,
    ways: { bridge: { from: "/run/netns/client", host: "10.99.0.2", port: served }, outside: { from: outside, host: "192.0.2.1", port: published }, localhost: { host: "127.0.0.1", port: published } },
  };
}
