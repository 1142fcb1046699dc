import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp, ipFromBytes, parseIp } from "../../lib/ip.ts";
import { names as endpoint } from "./dns.testing.ts";
import { Names, addressOfPointer } from "./names.ts";
import type { NameView } from "./names.ts";

const viewOf = (...networkIds: string[]): NameView => ({ networks: networkIds.map((networkId) => ({ networkId, links: new Map() })) });
const found = (names: Names, view: NameView, name: string): string[] | undefined => names.resolve(view, name)?.map((bytes) => formatIp(ipFromBytes(bytes)));

test("what an endpoint was called before is forgotten, what others are called stays", () => {
  const names = new Names();
  names.set({ networkId: "n", endpointId: "1" }, endpoint("net", ["old", "shared"], "10.0.0.1"));
  names.set({ networkId: "n", endpointId: "2" }, endpoint("net", ["other", "shared"], "10.0.0.2"));
  names.set({ networkId: "n", endpointId: "1" }, endpoint("net", ["new", "shared"], "10.0.0.3"));
  assert.equal(found(names, viewOf("n"), "old"), undefined);
  assert.deepEqual(found(names, viewOf("n"), "new"), ["10.0.0.3"]);
  assert.deepEqual(found(names, viewOf("n"), "shared"), ["10.0.0.2", "10.0.0.3"]);
  assert.equal(names.reverse(viewOf("n"), parseIp("10.0.0.1")!), undefined);
  assert.equal(names.reverse(viewOf("n"), parseIp("10.0.0.3")!), "new.net");
});

test("an address that went to another endpoint is the new one's", () => {
  const names = new Names();
  names.set({ networkId: "n", endpointId: "1" }, endpoint("net", ["a"], "10.0.0.1"));
  names.set({ networkId: "n", endpointId: "2" }, endpoint("net", ["b"], "10.0.0.1"));
  names.set({ networkId: "n", endpointId: "1" }, undefined);
  assert.equal(names.reverse(viewOf("n"), parseIp("10.0.0.1")!), "b.net");
});

test("a name may have dots, and be that of a network", () => {
  const names = new Names();
  names.set({ networkId: "n", endpointId: "1" }, endpoint("net.local", ["db.example", "net.local"], "10.0.0.1"));
  for (const name of ["db.example", "DB.Example.NET.local", "net.local"]) assert.deepEqual(found(names, viewOf("n"), name), ["10.0.0.1"], name);
  assert.equal(found(names, viewOf("n"), ".net.local"), undefined);
  assert.equal(found(names, viewOf("m"), "db.example"), undefined);
});

test("addresses written backwards are read strictly", () => {
  assert.deepEqual(addressOfPointer("4.3.2.1.IN-ADDR.arpa"), parseIp("1.2.3.4"));
  assert.deepEqual(addressOfPointer(`1.${"0.".repeat(30)}f.ip6.arpa`), parseIp("f000::1"));
  for (const bad of ["3.2.1.in-addr.arpa", "256.3.2.1.in-addr.arpa", "in-addr.arpa", ".in-addr.arpa", "1.ip6.arpa", `zz.${"0.".repeat(31)}ip6.arpa`, "4.3.2.1"]) assert.equal(addressOfPointer(bad), undefined, bad);
});
