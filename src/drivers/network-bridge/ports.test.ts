/** Host ports against a host in memory: random requests and releases, and what an allocation may never do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortRequest, PublishedPort } from "../../core/network-ports.ts";
import { fc } from "../../lib/fast-check.testing.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import { FakeMachine } from "../../sys/netlink/fake.ts";
import { countOf, counted, singles } from "../../core/port-runs.ts";
import { createPorts } from "./ports.ts";
import type { PortRules } from "./ports.ts";
import type { Ports } from "./ports.ts";
import { splitRuns } from "./published.ts";

const ANY = parseIp("0.0.0.0")!;
const RULES: PortRules = { families: { own: [4], served: [4], left: [] }, routed: [] };
const endpoint = (id: number) => ({ networkId: "n", endpointId: String(id) });

function open(localRange = "40000\t40003"): { machine: FakeMachine; ports: Ports; kept: Set<string> } {
  const machine = new FakeMachine();
  machine.host.state.sysctls.set("net/ipv4/ip_local_port_range", localRange);
  const kept = new Set<string>();
  const keeper = { put: async (name: string) => void kept.add(name), get: async () => undefined, drop: async (name: string) => void kept.delete(name) };
  return { machine, kept, ports: createPorts({ kernel: machine.host, keeper, relay: undefined, rules: true, warn: assert.fail }) };
}

const request = fc.record(
  {
    protocol: fc.constantFrom("tcp" as const, "udp" as const, "sctp" as const),
    port: fc.integer({ min: 1, max: 65535 }),
    hostAddress: fc.constantFrom(ANY, parseIp("127.0.0.1")!, parseIp("192.0.2.1")!),
    hostPorts: fc.tuple(fc.integer({ min: 20_000, max: 20_008 }), fc.integer({ min: 0, max: 3 })).map(([first, more]) => ({ first, last: first + more })),
  },
  { requiredKeys: ["protocol", "port"] },
);

const overlaps = (one: PublishedPort, other: PublishedPort): boolean =>
  one.protocol === other.protocol && one.hostPort === other.hostPort && (one.hostAddress.value === 0n || other.hostAddress.value === 0n || one.hostAddress.value === other.hostAddress.value);

function check(requests: readonly PortRequest[], given: readonly PublishedPort[], present: readonly PublishedPort[]): void {
  assert.equal(given.length, requests.length);
  given.forEach((port, index) => {
    const { protocol, port: inside, hostAddress = ANY, hostPorts = { first: 40_000, last: 40_003 } } = requests[index]!;
    assert.deepEqual([port.protocol, port.port, port.hostAddress], [protocol, inside, hostAddress]);
    assert.ok(hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last);
    assert.ok(![...present, ...given.slice(0, index)].some((other) => overlaps(port, other)), "given twice");
  });
}

test("whatever is asked for and released: no port is given twice, and nothing is left", async () => {
  const step = fc.oneof(fc.record({ reserve: fc.array(request, { minLength: 1, maxLength: 4 }) }), fc.record({ release: fc.nat(20) }));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const { machine, ports, kept } = open();
      const held = new Map<number, PublishedPort[]>();
      for (const [id, one] of steps.entries()) {
        if ("release" in one) {
          await ports.release(endpoint(one.release));
          held.delete(one.release);
          continue;
        }
        const before = new Set(machine.host.ports);
        try {
          const given = await ports.reserve(endpoint(id), one.reserve, RULES);
          check(one.reserve, given, [...held.values()].flat());
          held.set(id, given);
          await ports.keep(endpoint(id));
        } catch (error) {
          assert.match((error as Error).message, /^(Bind for .* failed: port is already allocated|failed to bind host port .*: address already in use|all ports are allocated)$/);
          assert.deepEqual(machine.host.ports, before, "a refusal leaves nothing");
        }
        assert.equal(kept.size, held.size);
      }
      for (const id of held.keys()) await ports.release(endpoint(id));
      assert.deepEqual([machine.host.ports.size, kept.size], [0, 0]);
    }),
    { numRuns: 300 },
  );
});

test("whatever changes: an endpoint has what it had without what went and with what came, and holds sockets for these alone", async () => {
  const step = fc.record({ gone: fc.array(fc.nat(5), { maxLength: 3 }), add: fc.array(request, { maxLength: 3 }), cancelled: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { machine, ports } = open();
      let present: readonly PublishedPort[] = [];
      const sockets = (): string[] => present.map(({ protocol, hostAddress, hostPort }) => `${{ tcp: 6, udp: 17, sctp: 132 }[protocol]} ${formatIp(hostAddress)} ${hostPort}`).sort();
      for (const { gone, add, cancelled } of steps) {
        const remove = present.filter((_, index) => gone.includes(index));
        try {
          const changed = await ports.change(endpoint(1), { remove, add }, RULES);
          if (cancelled) changed.cancel();
          else {
            const left = present.filter((port) => !remove.includes(port));
            assert.deepEqual(changed.ports.slice(0, left.length), left);
            check(add, changed.ports.slice(left.length), left);
            await changed.settle();
            present = changed.ports;
          }
        } catch (error) {
          assert.match((error as Error).message, /^(Bind for .* failed: port is already allocated|failed to bind host port .*: address already in use|all ports are allocated)$/);
        }
        assert.deepEqual([...machine.host.ports].sort(), sockets());
      }
      await ports.release(endpoint(1));
      assert.equal(machine.host.ports.size, 0);
    }),
    { numRuns: 300 },
  );
});

test("runs of ports: taken and given back as single ones are, in part too, and a port that is taken is named", async () => {
  const run = fc.record({ first: fc.integer({ min: 20_000, max: 20_012 }), shift: fc.integer({ min: 0, max: 1 }), count: fc.integer({ min: 1, max: 6 }) });
  const step = fc.record({ gone: fc.array(fc.integer({ min: 20_000, max: 20_018 }), { maxLength: 6 }), add: fc.array(run, { maxLength: 2 }), foreign: fc.option(fc.integer({ min: 20_000, max: 20_018 }), { freq: 4 }) });
  const requestOf = ({ first, shift, count }: { first: number; shift: number; count: number }): PortRequest => ({ protocol: "tcp", port: first + shift, hostPorts: { first, last: first + count - 1 }, ...counted(count) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      const { machine, ports } = open();
      const foreign = new Set<string>();
      let present: readonly PublishedPort[] = [];
      const texts = (list: readonly PublishedPort[]): string[] => singles(list).map(({ port, hostPort }) => `${port} ${hostPort}`).sort();
      for (const { gone, add, foreign: other } of steps) {
        const mine = new Set(singles(present).map(({ hostPort }) => hostPort));
        if (other !== null && !mine.has(other)) for (const set of [foreign, machine.host.ports]) set.add(`6 0.0.0.0 ${other}`);
        const remove = singles(present).filter(({ hostPort }) => gone.includes(hostPort));
        const left = singles(present).filter(({ hostPort }) => !gone.includes(hostPort));
        try {
          const changed = await ports.change(endpoint(1), { remove, add: add.map(requestOf) }, RULES);
          await changed.settle();
          const added = add.flatMap(({ first, shift, count }) => Array.from({ length: count }, (_, index): PublishedPort => ({ protocol: "tcp", port: first + shift + index, hostAddress: ANY, hostPort: first + index })));
          assert.deepEqual(texts(changed.ports), texts([...left, ...added]));
          present = changed.ports;
        } catch (error) {
          const [, named] = /0\.0\.0\.0:(\d+)/.exec((error as Error).message)!;
          assert.ok(left.some(({ hostPort }) => hostPort === Number(named)) || foreign.has(`6 0.0.0.0 ${named}`) || add.flatMap((one) => singles([{ port: one.first, hostPort: one.first, count: one.count }])).filter(({ hostPort }) => hostPort === Number(named)).length > 1);
        }
        assert.deepEqual([...machine.host.ports].sort(), [...foreign, ...singles(present).map(({ hostPort }) => `6 0.0.0.0 ${hostPort}`)].sort());
      }
      await ports.release(endpoint(1));
      assert.deepEqual([...machine.host.ports].sort(), [...foreign].sort());
      // All of it is known to be free again.
      const all = await ports.reserve(endpoint(2), [{ protocol: "udp", port: 1, hostPorts: { first: 20_000, last: 20_018 }, count: 19 }], RULES);
      assert.deepEqual(all.map(countOf), [19]);
    }),
    { numRuns: 200 },
  );
});

test("free ports are given in turn, so that one that was just released is not at once somebody else's", async () => {
  const { ports } = open();
  const any: PortRequest = { protocol: "tcp", port: 80 };
  const next = async (id: number): Promise<number> => (await ports.reserve(endpoint(id), [any], RULES))[0]!.hostPort;
  assert.deepEqual([await next(1), await next(2)], [40_000, 40_001]);
  await ports.release(endpoint(1));
  assert.deepEqual([await next(3), await next(4), await next(5)], [40_002, 40_003, 40_000]);
  await assert.rejects(next(6), { message: "all ports are allocated" });
});

test("without a range of the kernel it is Docker's; other programs' ports are passed over", async () => {
  const { machine, ports } = open("");
  machine.host.ports.add("6 0.0.0.0 49153");
  assert.equal((await ports.reserve(endpoint(1), [{ protocol: "tcp", port: 80 }], RULES))[0]!.hostPort, 49_154);
});

test("an endpoint that is no way out serves no address of the host, and its own only where it is routed", async () => {
  const { ports } = open();
  const families = { own: [4, 6], served: [], left: [] } as const;
  assert.deepEqual(await ports.reserve(endpoint(1), [{ protocol: "tcp", port: 80 }, { protocol: "tcp", port: 81, hostAddress: parseIp("::1")! }], { families, routed: [] }), []);
  assert.deepEqual((await ports.reserve(endpoint(2), [{ protocol: "tcp", port: 80 }], { families, routed: [6] })).map(({ hostAddress, hostPort }) => `${formatIp(hostAddress)} ${hostPort}`), [":: 0"]);
});

test("both families have the same port; routed ones none of the host's; a host binding is for IPv4", async () => {
  const { machine, ports } = open();
  const texts = (published: readonly PublishedPort[]): string[] => published.map(({ hostAddress, hostPort }) => `${formatIp(hostAddress)} ${hostPort}`);
  machine.host.ports.add("6 :: 40000");
  assert.deepEqual(texts(await ports.reserve(endpoint(1), [{ protocol: "tcp", port: 80 }], { families: { own: [4, 6], served: [4, 6], left: [] }, routed: [] })), ["0.0.0.0 40001", ":: 40001"]);
  assert.deepEqual(texts(await ports.reserve(endpoint(2), [{ protocol: "tcp", port: 80, hostPorts: { first: 90, last: 90 } }], { families: { own: [4, 6], served: [4, 6], left: [] }, routed: [6] })), ["0.0.0.0 90", ":: 0"]);
  assert.deepEqual(texts(await ports.reserve(endpoint(3), [{ protocol: "tcp", port: 80, hostPorts: { first: 91, last: 91 } }], { families: { own: [4, 6], served: [4, 6], left: [] }, routed: [], hostBinding: parseIp("10.0.0.1")! })), ["10.0.0.1 91"]);
  await assert.rejects(ports.reserve(endpoint(4), [{ protocol: "tcp", port: 80, hostAddress: parseIp("::")!, hostPorts: { first: 40_001, last: 40_001 } }], { families: { own: [6], served: [6], left: [] }, routed: [] }), { message: "Bind for [::]:40001 failed: port is already allocated" });
});

test("runs and what is left of them are the ports, each once", () => {
  const port = fc.record({ protocol: fc.constantFrom("tcp" as const, "udp" as const), hostPort: fc.integer({ min: 65_480, max: 65_535 }), shift: fc.integer({ min: 0, max: 9 }), any: fc.integer({ min: 0, max: 9 }) });
  const ports = fc.uniqueArray(port, { selector: ({ protocol, hostPort }) => `${protocol} ${hostPort}`, minLength: 20, maxLength: 112 });
  fc.assert(
    fc.property(ports, (drawn) => {
      const all = drawn.map(({ protocol, hostPort, shift, any }): PublishedPort => ({ protocol, hostPort, port: shift === 9 ? 1 : hostPort, hostAddress: any === 9 ? parseIp("192.0.2.1")! : ANY }));
      const { runs, others } = splitRuns(all);
      const ofRuns = runs.flatMap(({ protocol, first, last }) => Array.from({ length: last - first + 1 }, (_, index): PublishedPort => ({ protocol, hostPort: first + index, port: first + index, hostAddress: ANY })));
      const sorted = (list: readonly PublishedPort[]): string[] => list.map(({ protocol, hostPort, port: inside, hostAddress }) => [protocol, hostPort, inside, hostAddress.value].join(" ")).sort();
      assert.deepEqual(sorted([...ofRuns, ...others]), sorted(all));
      assert.ok(runs.every(({ first, last }) => last - first >= 15));
    }),
  );
});
