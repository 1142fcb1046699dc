/** What no registry should do, at each operation: an error that is told, or success, after a bounded number of requests; nothing hangs, nothing goes where it should not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Repository } from "../core/registry.ts";
import { type Digest, digestOf } from "../lib/digest.ts";
import { GantryError } from "../lib/errors.ts";
import { parseReference } from "../lib/reference.ts";
import { type Asked, bytesOf, FakeRegistry, type Reply, unknown } from "./testing/fake-registry.ts";
import { openRegistries } from "./testing/open.ts";

const blob = Buffer.alloc(100_000, "blob");
const credentials = { username: "user", password: "secret" };

interface Target {
  fake: FakeRegistry;
  other: FakeRegistry;
  manifest: Digest;
}

const operations: Record<string, (repository: Repository, target: Target) => Promise<unknown>> = {
  resolve: (repository) => repository.resolve("1"),
  manifest: (repository, { manifest }) => repository.manifest(manifest),
  blob: async (repository) => assert.ok((await bytesOf(repository.openBlob({ digest: digestOf(blob), size: blob.length }))).equals(blob)),
  tags: (repository) => repository.tags(),
  "existence of a blob": (repository) => repository.hasBlob(digestOf(blob)),
  push: (repository) => repository.pushBlob({ digest: digestOf("new"), size: 3, open: async function* () { yield Buffer.from("new"); }, mountFrom: [] }),
  "push of a manifest": (repository, { manifest }) => repository.putManifest("1", { mediaType: "application/json", digest: manifest, bytes: Buffer.from("{}") }),
};

type Misbehaviour = (target: Target, asked: Asked) => Reply | undefined;

const challenge = (text: string): Misbehaviour => () => ({ status: 401, headers: { "www-authenticate": text } });
const redirect = (location: (target: Target, asked: Asked) => string): Misbehaviour => (target, asked) => ({ status: 307, headers: { location: location(target, asked) } });

const misbehaviours: Record<string, Misbehaviour> = {
  "401 without a question": () => ({ status: 401 }),
  "401 with a question that is none": challenge("?,=;\"Basic"),
  "401 for a password again and again": challenge('Basic realm="r"'),
  "401 for a token of itself": ({ fake }) => ({ status: 401, headers: { "www-authenticate": `Bearer realm="${fake.origin}/token",service="s"` } }),
  "401 for a token of no address": challenge('Bearer realm="::",service="s"'),
  "401 for a token of a file": challenge('Bearer realm="file:///etc/passwd",service="s"'),
  ...Object.fromEntries(["0", "-1", "soon", "0.5", new Date(0).toUTCString()].map((when) => [`429 with Retry-After ${when}`, () => ({ ...unknown("TOOMANYREQUESTS", 429), headers: { "retry-after": when } })])),
  ...Object.fromEntries([500, 501, 502, 503, 504, 507, 599].map((status) => [`${status} each time`, () => ({ status, body: "<html>sorry" })])),
  ...Object.fromEntries([204, 300, 304, 400, 402, 410, 416, 418, 451].map((status) => [`${status} each time`, () => ({ status })])),
  "a redirect to itself": redirect(({ fake }, { url }) => `${fake.origin}${url.pathname}${url.search}`),
  "redirects that never end": redirect(({ fake }, { url }) => `${fake.origin}${url.pathname}/x`),
  "a ring of redirects over two origins": redirect(({ other }, { url }) => `${other.origin}${url.pathname}`),
  "a redirect to a file": redirect(() => "file:///etc/passwd"),
  "a redirect to no address": redirect(() => "http://"),
  "a redirect to nowhere": () => ({ status: 302 }),
  "an answer of another kind": () => ({ status: 200, headers: { "content-type": "text/html" }, body: "<html>log in" }),
  "an empty answer": () => ({ status: 200 }),
  "an answer without an end": () => ({ status: 200, headers: { "transfer-encoding": "chunked" }, stall: true }),
  "a length that is too large": () => ({ status: 200, headers: { "content-length": "100000" }, body: "{}", cutAfter: 2 }),
  "a length that is no number": () => ({ status: 200, headers: { "content-length": "1x" }, stall: true }),
  "a length beyond all": () => ({ status: 200, headers: { "content-length": "9".repeat(30) }, stall: true }),
  "a digest that is a path": () => ({ status: 200, headers: { "docker-content-digest": "sha256:../../../etc/passwd" }, body: "{}" }),
  "a digest of another algorithm": () => ({ status: 200, headers: { "docker-content-digest": `md5:${"0".repeat(32)}` }, body: "{}" }),
  "a part that nobody asked for": () => ({ status: 206, headers: { "content-range": "bytes 5-6/100000" }, body: "xx" }),
  "a part of nonsense": () => ({ status: 206, headers: { "content-range": "all of it" }, body: "xx" }),
  "an upload to a file": (_, { method }) => (method === "POST" ? { status: 202, headers: { location: "file:///etc/passwd" } } : undefined),
  "an upload to nowhere": (_, { method }) => (method === "POST" ? { status: 202 } : undefined),
  "an upload that is forgotten each time": (_, { method }) => (method === "PATCH" || method === "PUT" ? unknown("BLOB_UPLOAD_UNKNOWN", 404) : undefined),
};

for (const [what, misbehave] of Object.entries(misbehaviours)) {
  test(`${what}: an end, a reason, and no secret to others`, { timeout: 300_000 }, async () => {
    await using fake = await FakeRegistry.start();
    await using other = await FakeRegistry.start();
    fake.addBlob(blob);
    const target: Target = { fake, other, manifest: fake.addManifest("1", {}) };
    for (const [operation, operate] of Object.entries(operations)) {
      using registries = openRegistries({ limits: { stallMilliseconds: 50, answerMilliseconds: 10_000 } });
      fake.rule = (asked) => misbehave(target, asked);
      other.rule = (asked) => (what.startsWith("a ring") ? { status: 307, headers: { location: `${fake.origin}${asked.url.pathname}` } } : { status: 404 });
      fake.asked.length = 0;
      const thrown: unknown = await operate(registries.repository(parseReference(`${fake.host}/a/b`), { credentials }), target).then(() => undefined, (error: unknown) => error);
      if (thrown !== undefined) assert.ok(thrown instanceof GantryError && thrown.message !== "" && !thrown.message.includes("secret"), `${operation}: ${String((thrown as Error).stack)}`);
      assert.ok(fake.asked.length <= 60, `${operation}: ${fake.asked.length} requests`);
    }
    for (const { headers } of other.asked) assert.equal(headers.authorization, undefined);
    fake.rule = () => undefined;
    using registries = openRegistries();
    assert.equal((await registries.repository(parseReference(`${fake.host}/a/b`), { credentials }).resolve("1")).digest, target.manifest, "the next one is served again");
  });
}
