import assert from "node:assert/strict";
import { test } from "node:test";
import packet from "dns-packet";
import { fc } from "../../lib/fast-check.testing.ts";
import { names as endpoint } from "./dns.testing.ts";
import { RCODE, TYPE, answerTo, answersQuery, encodeName, rcodeOf, readQuery } from "./message.ts";
import { Names } from "./names.ts";
import { Resolver } from "./resolver.ts";
import { Upstreams } from "./upstreams.ts";

const question = (name: string): Buffer => packet.encode({ type: "query", id: 7, flags: packet.RECURSION_DESIRED, questions: [{ name, type: "A" }] });

const names = new Names();
names.set({ networkId: "n", endpointId: "1" }, endpoint("net", ["web"], "10.0.0.1"));
const resolver = new Resolver(names, { networks: [{ networkId: "n", links: new Map() }], forward: true, ndots: 0, upstreams: new Upstreams([]) });
const transport = { kind: "datagram", exchange: () => Promise.reject(new Error("unreachable")) } as const;

test("any bytes: an answer or none, of a size that the client takes, never an answer to an answer", async () => {
  const changed = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.nat(40), fc.nat(40)).map(([bytes, at, cut]) => {
    const whole = Buffer.concat([question("web"), Buffer.alloc(20)]);
    whole.set(bytes.subarray(0, whole.length - at), at);
    return whole.subarray(0, whole.length - (cut % 30));
  });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 1400 }).map((bytes) => Buffer.from(bytes)), changed), async (bytes) => {
      const answer = await resolver.resolve(bytes, transport);
      if (bytes.length < 12 || bytes[2]! & 0x80) return assert.equal(answer, undefined);
      assert.ok(answer && answer.length >= 12 && answer.length <= 4096);
      assert.deepEqual(answer.subarray(0, 2), bytes.subarray(0, 2), "the id");
      assert.ok(answer[2]! & 0x80, "an answer");
    }),
    { numRuns: 5000 },
  );
});

test("a message whose names take long to follow is too large", () => {
  const large = Buffer.concat([question("web"), Buffer.alloc(1300)]);
  const refused = readQuery(large);
  assert.ok(refused && "refusal" in refused);
  assert.equal(rcodeOf(refused.refusal), RCODE.formatError);
});

test("answers repeat the question's own bytes, even those that are no text", () => {
  const raw = question("aXb");
  raw[14] = 0xff;
  const query = readQuery(raw)!;
  assert.ok("name" in query);
  const answer = answerTo(query, RCODE.success, [{ type: TYPE.A, ttl: 1, data: Uint8Array.of(1, 2, 3, 4) }], 512);
  assert.deepEqual(answer.subarray(12, query.end), raw.subarray(12, query.end));
  assert.ok(answersQuery(answer, query));
});

test("a server's message answers the same question only", () => {
  const query = readQuery(question("web.test"))!;
  assert.ok("name" in query);
  const answer = (name: string, type: "A" | "AAAA" = "A"): Buffer => packet.encode({ type: "response", id: 7, questions: [{ name, type }] });
  assert.ok(answersQuery(answer("WEB.test"), query));
  for (const other of [answer("web.tes"), answer("wob.test"), answer("web.test", "AAAA"), question("web.test"), Buffer.alloc(3)]) assert.ok(!answersQuery(other, query));
});

test("names that DNS cannot carry are not sent", () => {
  assert.equal(encodeName("a".repeat(64)), undefined);
  assert.equal(encodeName("a..b"), undefined);
  assert.equal(encodeName(Array.from({ length: 50 }, () => "abcde").join(".")), undefined);
  assert.deepEqual(encodeName("a.bc"), Buffer.from("\x01a\x02bc\0", "latin1"));
});
