/** A network that moves: what is recorded, whom the driver is told of, what a daemon that died leaves to the next, what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetworkDriver, RenumberedEndpoint, RenumbersNetworks } from "../../core/network.ts";
import { createDefaultIpam } from "../../drivers/ipam-default/ipam.ts";
import { formatIp, formatPrefix, parseIp } from "../../lib/ip.ts";
import type { NetworkCreation } from "./definition.ts";
import type { NetworkMove, Translate } from "./move.ts";
import { bench, record } from "./networks.testing.ts";
import type { Bench } from "./networks.testing.ts";

const creation = (name: string, subnet: string): NetworkCreation => ({ name, driver: "bridge", scope: "", internal: false, attachable: false, ingress: false, ipv4: undefined, ipv6: undefined, ipam: { driver: "", options: null, config: [{ subnet, range: "", gateway: "", aux: null }] }, options: {}, labels: {}, configFrom: "", configOnly: false });
const to = (subnet: string): NetworkMove => ({ entries: [{ subnet, range: "", gateway: "", aux: null }], record: (translate) => void (translated = translate) });
/** What the last move made of addresses. */
let translated: Translate;

interface Scene {
  made: Bench;
  told: (RenumberedEndpoint & { subnets: string })[];
  fail: boolean;
}

function scene(made: Bench): Scene {
  const result: Scene = { made, told: [], fail: false };
  const bridge: NetworkDriver & RenumbersNetworks = {
    ...made.options.drivers.bridge,
    renumberNetwork: async (spec, endpoints) => {
      if (result.fail) throw new Error("no");
      result.told.push(...endpoints.map((endpoint) => ({ ...endpoint, subnets: spec.subnets.map(({ subnet }) => formatPrefix(subnet)).join() })));
      return endpoints.map(() => ({ mac: Uint8Array.of(2, 66, 9, 9, 9, 9) }));
    },
  };
  made.options.drivers = { ...made.options.drivers, bridge };
  made.options.ipam = createDefaultIpam();
  return result;
}

test("addresses keep their place in the subnet; a failure is finished by the next daemon; refusals change nothing", async (t) => {
  const made = bench(t);
  const current = scene(made);
  const web = record("web", "front");
  const known = new Map([["web", web]]);
  const options = { findContainer: (ref: string) => known.get(ref)!, ipam: createDefaultIpam() };
  const networks = await made.open(options);
  await networks.create(creation("front", "10.1.0.0/24"));
  await networks.create(creation("other", "10.2.0.0/24"));
  const { network } = await networks.connect(web);
  Object.assign(web, { network, state: { status: "running", pid: 1, startedAt: 1n } });
  networks.started(web);
  const own = (): string | undefined => web.network?.endpoints[0]?.ipAddress;
  assert.equal(own(), "10.1.0.2");
  await assert.rejects(networks.move("front", to("10.2.0.0/16")), { code: "forbidden", message: /Pool overlaps/ });
  await assert.rejects(networks.move("bridge", to("10.3.0.0/24")), { code: "forbidden", message: /pre-defined/ });
  await assert.rejects(networks.move("front", to("fd00::/64")), /no IPv6 subnet/);
  assert.deepEqual([own(), current.told.length], ["10.1.0.2", 0]);
  await networks.move("front", to("10.3.0.0/24"));
  assert.equal(formatIp(translated(parseIp("10.1.0.77")!)!), "10.3.0.77");
  assert.deepEqual([own(), web.network?.endpoints[0]?.gateway, web.network?.endpoints[0]?.macAddress], ["10.3.0.2", "10.3.0.1", "02:42:09:09:09:09"]);
  assert.deepEqual(current.told.map(({ addresses, gateways, subnets }) => [addresses.map(formatPrefix), gateways.map(formatIp), subnets]), [[["10.3.0.2/24"], ["10.3.0.1"], "10.3.0.0/24"]]);
  assert.deepEqual(networks.find("front").ipam.config.map(({ subnet, gateway }) => [subnet, gateway]), [["10.3.0.0/24", "10.3.0.1"]]);
  assert.ok(made.events.some(({ action, actor }) => action === "move" && actor.attributes["subnets"] === "10.3.0.0/24"));
  await networks.create(creation("again", "10.1.0.0/24"));
  current.fail = true;
  await assert.rejects(networks.move("front", to("10.4.0.0/24")), { message: "no" });
  assert.equal(own(), "10.4.0.2", "it was recorded");
  current.fail = false;
  current.told.length = 0;
  const next = await made.open({ ...options, ipam: createDefaultIpam() });
  await next.collect(() => true);
  assert.deepEqual(current.told.map(({ addresses }) => addresses.map(formatPrefix)), [["10.4.0.2/24"]]);
  current.told.length = 0;
  const later = await made.open({ ...options, ipam: createDefaultIpam() });
  await later.collect(() => true);
  assert.deepEqual(current.told, [], "once");
});
