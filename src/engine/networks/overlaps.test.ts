/** Routes that appear later: told of once, with what to do, and not where they are the network's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../lib/eventually.testing.ts";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import { bench } from "./networks.testing.ts";
import type { HostRoute, RouteEvents } from "./overlaps.ts";

const route = (destination: string, index: number): HostRoute => ({ destination: parsePrefix(destination)!, index });

test("a route over a network's subnet is told of once, again when it comes back, and never one by the network's own bridge", async (t) => {
  const made = bench(t);
  const warnings: string[] = [];
  let present: HostRoute[] = [route("172.17.0.0/16", 3)];
  let changed: (events: RouteEvents | undefined) => void = () => {};
  const interfaces = new Map([[3, { name: "docker0", addresses: [parseIp("172.17.0.1")!] }], [9, { name: "tun0", addresses: [parseIp("10.8.0.2")!] }]]);
  const hostRoutes = {
    list: async () => present,
    watch: async (listener: typeof changed) => ((changed = listener), { close: () => {} }),
    interface: async (index: number) => interfaces.get(index),
  };
  const networks = await made.open({ hostRoutes, warn: (message) => void warnings.push(message) });
  const gateway = networks.find("bridge").ipam.config[0]!.gateway;
  interfaces.get(3)!.addresses = [parseIp(gateway)!];
  const told = (): string[] => made.events.filter(({ action }) => action === "overlap").map(({ actor: { attributes } }) => [attributes["name"], attributes["route"], attributes["interface"]].join(" "));
  const vpn = route("172.16.0.0/12", 9);
  for (let times = 0; times < 2; times++) changed({ added: [vpn, route("0.0.0.0/1", 9), route("fe80::/64", 9), route("10.0.0.0/8", 9), route("172.17.0.0/16", 3)], removed: [] });
  await until("it is told", () => told().length > 0);
  assert.deepEqual(told(), ["bridge 172.16.0.0/12 tun0"]);
  assert.match(warnings.join("\n"), /172\.16\.0\.0\/12 through tun0 overlaps the network bridge .*the setting bip gives/);
  changed({ added: [], removed: [vpn] });
  changed({ added: [vpn], removed: [] });
  await until("it is told", () => told().length > 1);
  present = [vpn, route("172.17.128.0/24", 9)];
  changed(undefined);
  await until("it is told", () => told().length > 2);
  assert.equal(told()[2], "bridge 172.17.128.0/24 tun0");
  await networks.close();
});
