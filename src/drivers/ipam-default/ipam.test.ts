import assert from "node:assert/strict";
import { test } from "node:test";
import { ipamContract } from "../../core/ipam.contract.ts";
import { formatPrefix, parsePrefix } from "../../lib/ip.ts";
import { createDefaultIpam } from "./ipam.ts";

ipamContract("default IPAM", () => createDefaultIpam([{ base: parsePrefix("10.1.0.0/16")!, size: 24 }]));

test("Docker's default pools, in its order, skip what the host routes", async () => {
  const ipam = createDefaultIpam();
  const avoid = [parsePrefix("172.17.4.0/24")!, parsePrefix("172.20.0.0/14")!];
  const got: string[] = [];
  for (let count = 0; count < 12; count++) got.push(formatPrefix((await ipam.requestPool({ family: 4, avoid })).subnet));
  assert.deepEqual(got.slice(0, 4), ["172.18.0.0/16", "172.19.0.0/16", "172.24.0.0/16", "172.25.0.0/16"]);
  assert.equal(got[10], "192.168.0.0/20");
});

test("the first address of an IPv6 subnet of any length is nobody's", async () => {
  const ipam = createDefaultIpam();
  const pair = await ipam.requestPool({ family: 6, subnet: parsePrefix("fd00:7::/127")!, avoid: [] });
  assert.equal(formatPrefix(await ipam.requestAddress(pair.id)), "fd00:7::1/127");
  const single = await ipam.requestPool({ family: 6, subnet: parsePrefix("fd00:8::/128")!, avoid: [] });
  await assert.rejects(ipam.requestAddress(single.id), { code: "unavailable", message: "no available addresses on this pool" });
});

test("an exhausted set of default pools says so in Docker's words", async () => {
  const ipam = createDefaultIpam([{ base: parsePrefix("10.1.0.0/24")!, size: 24 }]);
  await ipam.requestPool({ family: 4, avoid: [] });
  await assert.rejects(ipam.requestPool({ family: 4, avoid: [] }), /all predefined address pools have been fully subnetted/);
});
