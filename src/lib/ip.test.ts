import assert from "node:assert/strict";
import { BlockList, isIP } from "node:net";
import { test } from "node:test";
import { fc } from "./fast-check.testing.ts";
import { contains, firstAddress, formatIp, formatPrefix, ipFromBytes, ipToBytes, isLoopback, lastAddress, networkOf, overlaps, parseIp, parsePrefix, requirePrefix } from "./ip.ts";
import type { IpAddress, IpPrefix } from "./ip.ts";

const v4 = fc.nat(0xffffffff).map((value): IpAddress => ({ family: 4, value: BigInt(value) }));
const v6 = fc.bigInt(0n, (1n << 128n) - 1n).map((value): IpAddress => ({ family: 6, value }));
const address = fc.oneof(v4, v6);
const prefixOf = (ip: fc.Arbitrary<IpAddress>, bits: number) => fc.tuple(ip, fc.integer({ min: 0, max: bits })).map(([address, length]): IpPrefix => ({ address, length }));
const v4Prefix = prefixOf(v4, 32);
const prefix = fc.oneof(v4Prefix, prefixOf(v6, 128));

test("addresses are printed in their canonical form", () => {
  const forms: [string, string][] = [
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["fe80:0:0:0:0:0:0:1", "fe80::1"],
    ["2001:DB8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:0:2:2:0:0:3", "1::2:2:0:0:3"],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ];
  for (const [text, canonical] of forms) assert.equal(formatIp(parseIp(text)!), canonical);
});

test("what is no address is none", () => {
  for (const text of ["", "x", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.-4", " 1.2.3.4", "1.2.3.4 ", "0x1.2.3.4", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "::1.2.3.4:5", "1.2.3.4::", "fe80::1%eth0", "1:2:3:4:5:6:7:8::", "::g"]) {
    assert.equal(parseIp(text), undefined, text);
  }
});

test("any text is read as Node reads it", () => {
  const alphabet = fc.string({ unit: fc.constantFrom(..."0123456789abcdef:.%/x ".split("")), maxLength: 24 });
  fc.assert(fc.property(fc.oneof(alphabet, address.map(formatIp)), (text) => (parseIp(text)?.family ?? 0) === (text.includes("%") ? (parseIp(text)?.family ?? 0) : isIP(text))), { numRuns: 2000 });
});

test("printing and parsing are inverse, as are bytes", () => {
  fc.assert(fc.property(address, (ip) => assert.deepEqual(parseIp(formatIp(ip)), ip)));
  fc.assert(fc.property(address, (ip) => assert.deepEqual(ipFromBytes(ipToBytes(ip)), ip)));
  fc.assert(fc.property(prefix, (subnet) => assert.deepEqual(parsePrefix(formatPrefix(subnet)), subnet)));
});

test("what is no prefix is none", () => {
  for (const text of ["1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/08", "1.2.3.4/-1", "1.2.3.4/8/8", "/8", "::/129", "::/ 1"]) assert.equal(parsePrefix(text), undefined, text);
  assert.throws(() => requirePrefix("10.0.0.0", "--bip"), /invalid --bip: "10.0.0.0" is no CIDR address/);
});

test("a prefix holds its ends and nothing beyond", () => {
  fc.assert(
    fc.property(prefix, (subnet) => {
      const [first, last] = [firstAddress(subnet), lastAddress(subnet)];
      assert.ok(contains(subnet, first) && contains(subnet, last) && contains(subnet, subnet.address));
      assert.equal(contains(subnet, { ...first, value: first.value - 1n }), false);
      assert.equal(contains(subnet, { ...last, value: last.value + 1n }), false);
      assert.deepEqual(firstAddress(networkOf(subnet)), first);
    }),
  );
});

test("membership is what Node's BlockList says", () => {
  fc.assert(
    fc.property(v4Prefix, v4, (subnet, ip) => {
      const list = new BlockList();
      list.addSubnet(formatIp(firstAddress(subnet)), subnet.length, "ipv4");
      assert.equal(contains(subnet, ip), list.check(formatIp(ip), "ipv4"));
    }),
  );
});

test("overlap is symmetric, and two prefixes overlap exactly when one holds the other", () => {
  fc.assert(
    fc.property(prefix, prefix, (a, b) => {
      assert.equal(overlaps(a, b), overlaps(b, a));
      const nested = a.address.family === b.address.family && (a.length <= b.length ? contains(a, b.address) : contains(b, a.address));
      assert.equal(overlaps(a, b), nested);
    }),
  );
});

test("loopback", () => {
  for (const text of ["127.0.0.1", "127.0.0.53", "127.255.255.255", "::1"]) assert.ok(isLoopback(parseIp(text)!));
  for (const text of ["126.0.0.1", "128.0.0.1", "::2"]) assert.ok(!isLoopback(parseIp(text)!));
});
