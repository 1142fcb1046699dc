/** What an IPAM plugin is asked, and what is not believed of its answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PoolRequest } from "../../core/ipam.ts";
import type { PluginAnswer } from "../../core/plugins.ts";
import { systemError } from "../../lib/errors.ts";
import { formatPrefix, parseIp } from "../../lib/ip.ts";
import { createRemoteIpam } from "./ipam.ts";

const honest: Record<string, PluginAnswer> = {
  GetDefaultAddressSpaces: { LocalDefaultAddressSpace: "here" },
  RequestPool: { PoolID: "p1", Pool: "10.7.0.0/24" },
  RequestAddress: { Address: "10.7.0.9/24" },
  ReleasePool: {},
  ReleaseAddress: {},
};

function bench(answers: Record<string, PluginAnswer | Error> = {}) {
  const asked: string[] = [];
  const all: Record<string, PluginAnswer | Error> = { ...honest, ...answers };
  const call = async (method: string, request: object = {}): Promise<PluginAnswer> => {
    const name = method.replace("IpamDriver.", "");
    asked.push(`${name} ${JSON.stringify(request)}`);
    const answer = all[name]!;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { ipam: createRemoteIpam({ name: "foreign", find: async () => ({ name: "foreign", call }) }), asked, all };
}

const wish: PoolRequest = { family: 4, avoid: [] };

test("a pool, its gateway and an address", async () => {
  const { ipam, asked } = bench();
  const pool = await ipam.requestPool(wish);
  assert.equal(formatPrefix(pool.subnet), "10.7.0.0/24");
  assert.equal(formatPrefix(await ipam.requestAddress(pool.id, undefined, "gateway")), "10.7.0.9/24");
  await ipam.releaseAddress(pool.id, parseIp("10.7.0.9")!);
  await ipam.releasePool(pool.id);
  assert.deepEqual(asked.slice(1), [
    'RequestPool {"AddressSpace":"here","Pool":"","SubPool":"","Options":{},"V6":false}',
    'RequestAddress {"PoolID":"p1","Address":"","Options":{"RequestAddressType":"com.docker.network.gateway"}}',
    'ReleaseAddress {"PoolID":"p1","Address":"10.7.0.9"}',
    'ReleasePool {"PoolID":"p1"}',
  ]);
});

for (const [what, answer, refusal] of [
  ["no pool", {}, /named no pool/],
  ["a pool that is none", { PoolID: "p1", Pool: "10.7.0.0" }, /Pool of its answer is "10\.7\.0\.0"/],
  ["a length that cannot be", { PoolID: "p1", Pool: "10.7.0.0/99" }, /Pool of its answer is/],
  ["a pool of the other family", { PoolID: "p1", Pool: "fd00::/64" }, /gave fd00::\/64 for IPv4/],
  ["an id that is no text", { PoolID: { toString: "x" }, Pool: "10.7.0.0/24" }, /PoolID of the plugin's answer is no text/],
  ["a list", { PoolID: ["p1"], Pool: ["10.7.0.0/24"] }, /no text/],
] as [string, PluginAnswer, RegExp][]) {
  test(`${what} is refused`, async () => assert.rejects(bench({ RequestPool: answer }).ipam.requestPool(wish), refusal));
}

for (const [what, answer, refusal] of [
  ["nothing", {}, /Address of its answer is undefined/],
  ["an address outside of the pool", { Address: "127.0.0.1/24" }, /gave 127\.0\.0\.1, which is not in 10\.7\.0\.0\/24/],
  ["an address of the other family", { Address: "fd00::1/64" }, /gave fd00::1, which is not in/],
  ["a number", { Address: 167772161 }, /no text/],
] as [string, PluginAnswer, RegExp][]) {
  test(`${what} is no address`, async () => {
    const { ipam } = bench({ RequestAddress: answer });
    const { id } = await ipam.requestPool(wish);
    await assert.rejects(ipam.requestAddress(id), refusal);
  });
}

test("another address than the one that was asked for is refused", async () => {
  const { ipam } = bench();
  const { id } = await ipam.requestPool(wish);
  await assert.rejects(ipam.requestAddress(id, parseIp("10.7.0.5")), /gave 10\.7\.0\.9 for 10\.7\.0\.5/);
});

test("a plugin that failed once is asked again", async () => {
  const { ipam, all } = bench({ GetDefaultAddressSpaces: systemError("not yet") });
  await assert.rejects(ipam.requestPool(wish), /not yet/);
  all["GetDefaultAddressSpaces"] = honest["GetDefaultAddressSpaces"]!;
  assert.equal((await ipam.requestPool(wish)).id, "p1");
});
