/** What every IPAM must do. A driver's test calls this with a maker of a fresh one whose default pools are 10.1.0.0/16 in subnets of /24. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf } from "../lib/errors.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "../lib/ip.ts";
import type { Ipam } from "./ipam.ts";

const prefix = (text: string) => parsePrefix(text)!;
const ip = (text: string) => parseIp(text)!;

export function ipamContract(name: string, make: () => Ipam): void {
  const pool = (ipam: Ipam, subnet?: string, range?: string) => ipam.requestPool({ family: 4, avoid: [], ...(subnet ? { subnet: prefix(subnet) } : {}), ...(range ? { range: prefix(range) } : {}) });
  const rejects = (promise: Promise<unknown>, code: string) => assert.rejects(promise, (error) => codeOf(error) === code);

  test(`${name}: default pools are distinct and avoid the host's routes`, async () => {
    const ipam = make();
    const first = await ipam.requestPool({ family: 4, avoid: [prefix("10.1.0.128/25"), prefix("10.1.2.0/23")] });
    assert.equal(formatPrefix(first.subnet), "10.1.1.0/24");
    const second = await ipam.requestPool({ family: 4, avoid: [prefix("10.1.0.128/25"), prefix("10.1.2.0/23")] });
    assert.equal(formatPrefix(second.subnet), "10.1.4.0/24");
  });

  test(`${name}: a released pool can be had again`, async () => {
    const ipam = make();
    const first = await pool(ipam);
    await ipam.releasePool(first.id);
    await ipam.releasePool(first.id);
    assert.deepEqual((await pool(ipam)).subnet, first.subnet);
  });

  test(`${name}: an asked subnet may not overlap another pool`, async () => {
    const ipam = make();
    await pool(ipam, "10.9.0.0/16");
    await rejects(pool(ipam, "10.9.3.0/24"), "conflict");
    await rejects(pool(ipam, "10.0.0.0/8"), "conflict");
  });

  test(`${name}: addresses come lowest first, without the network's own and the broadcast`, async () => {
    const ipam = make();
    const { id } = await pool(ipam, "10.9.0.0/29");
    const got: string[] = [];
    for (let count = 0; count < 6; count++) got.push(formatPrefix(await ipam.requestAddress(id)));
    assert.deepEqual(got, ["10.9.0.1/29", "10.9.0.2/29", "10.9.0.3/29", "10.9.0.4/29", "10.9.0.5/29", "10.9.0.6/29"]);
    await rejects(ipam.requestAddress(id), "unavailable");
    await ipam.releaseAddress(id, ip("10.9.0.4"));
    await ipam.releaseAddress(id, ip("10.9.0.2"));
    await ipam.releaseAddress(id, ip("10.9.0.2"));
    assert.equal(formatIp((await ipam.requestAddress(id)).address), "10.9.0.2");
    assert.equal(formatIp((await ipam.requestAddress(id)).address), "10.9.0.4");
    await rejects(ipam.requestAddress(id), "unavailable");
  });

  test(`${name}: a preferred address is given once, and skipped by the others`, async () => {
    const ipam = make();
    const { id } = await pool(ipam, "10.9.0.0/24");
    assert.equal(formatPrefix(await ipam.requestAddress(id, ip("10.9.0.2"))), "10.9.0.2/24");
    await rejects(ipam.requestAddress(id, ip("10.9.0.2")), "forbidden");
    await rejects(ipam.requestAddress(id, ip("10.8.0.2")), "invalid-parameter");
    assert.equal(formatIp((await ipam.requestAddress(id)).address), "10.9.0.1");
    assert.equal(formatIp((await ipam.requestAddress(id)).address), "10.9.0.3");
  });

  test(`${name}: a range limits what is chosen, not what may be preferred`, async () => {
    const ipam = make();
    const { id } = await pool(ipam, "10.9.0.0/24", "10.9.0.8/30");
    const got: string[] = [];
    for (let count = 0; count < 4; count++) got.push(formatIp((await ipam.requestAddress(id)).address));
    assert.deepEqual(got, ["10.9.0.8", "10.9.0.9", "10.9.0.10", "10.9.0.11"]);
    await rejects(ipam.requestAddress(id), "unavailable");
    assert.equal(formatIp((await ipam.requestAddress(id, ip("10.9.0.1"))).address), "10.9.0.1");
  });

  test(`${name}: a large IPv6 subnet costs nothing to open`, async () => {
    const ipam = make();
    const { id } = await ipam.requestPool({ family: 6, subnet: prefix("fd00:1::/64"), avoid: [] });
    assert.equal(formatIp((await ipam.requestAddress(id)).address), "fd00:1::1");
    assert.equal(formatIp((await ipam.requestAddress(id, ip("fd00:1::ffff:0:0:1"))).address), "fd00:1::ffff:0:0:1");
    assert.equal(formatIp((await ipam.requestAddress(id)).address), "fd00:1::2");
  });
}
