/** The way between bridges that veth pairs join. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import { bridgeWay, bridgesBehind } from "./bridges.ts";

const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({ index, name, up: true, running: true, mac: new Uint8Array(6), mtu: 1500, master: 0, kind: "bridge", alias: "", ...more });
const pair = (first: number, master: number, second: number, other: number): Link[] => [link(first, `l${first}`, { kind: "veth", master, peer: second }), link(second, `l${second}`, { kind: "veth", master: other, peer: first })];
const [own, one, two, alone] = [link(1, "own"), link(2, "one"), link(3, "two"), link(4, "alone")];
const links = [own, one, two, alone, ...pair(10, 1, 11, 2), ...pair(12, 1, 13, 3), link(20, "container", { kind: "veth", master: 2, peer: 2 })];
const way = (from: Link, to: Link): string[] => bridgeWay(links, from, to).map(({ out, into, bridge }) => `${out.name} ${into.name} ${bridge.name}`);

test("by the bridge between them, and no way where there is none", () => {
  assert.deepEqual(way(one, two), ["l11 l10 own", "l12 l13 two"]);
  assert.deepEqual(way(own, two), ["l12 l13 two"]);
  assert.deepEqual(way(one, one), []);
  assert.deepEqual(way(one, alone), []);
  assert.deepEqual(bridgesBehind(links, two).map(({ name }) => name), ["own", "one"]);
});
