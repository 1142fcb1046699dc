import assert from "node:assert/strict";
import { test } from "node:test";
import type { Repository } from "../core/registry.ts";
import { digestOf } from "../lib/digest.ts";
import { GantryError } from "../lib/errors.ts";
import { mediaTypes } from "../lib/oci-image.ts";
import { parseReference } from "../lib/reference.ts";
import type { OpenRegistries } from "./registries.ts";
import { type Asked, bytesOf, FakeRegistry, unknown } from "./testing/fake-registry.ts";
import { openRegistries } from "./testing/open.ts";

const blob = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 251));
const failed = (code: string, message: RegExp) => (error: unknown) => error instanceof GantryError && error.code === code && message.test(error.message);
const repositoryAt = (registries: OpenRegistries, { host }: FakeRegistry): Repository => registries.repository(parseReference(`${host}/a/b`));
const isBlob = ({ method, url }: Asked): boolean => method === "GET" && url.pathname.includes("/blobs/");

test("what a tag points to, by HEAD alone", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addManifest("1", { schemaVersion: 2 }, mediaTypes.dockerManifest);
  const repository = repositoryAt(registries, fake);
  assert.deepEqual(await repository.resolve("1"), { mediaType: mediaTypes.dockerManifest, digest, size: 19 });
  assert.deepEqual(fake.lines(), ["HEAD /v2/a/b/manifests/1"]);
  const { bytes, ...rest } = await repository.manifest(digest);
  assert.deepEqual([rest, Buffer.from(bytes).toString()], [{ mediaType: mediaTypes.dockerManifest, digest }, '{"schemaVersion":2}']);
});

test("a registry without HEAD, or whose HEAD tells too little, is asked by GET", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addManifest("1", { schemaVersion: 2 });
  for (const head of [{ status: 405 }, { status: 200, headers: { "content-type": mediaTypes.ociManifest } }]) {
    fake.rule = ({ method }) => (method === "HEAD" ? head : undefined);
    assert.equal((await repositoryAt(registries, fake).resolve("1")).digest, digest);
  }
});

test("manifests are what their digests say, whatever headers say", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const wanted = fake.addManifest("1", { schemaVersion: 2 });
  fake.rule = ({ method }) => (method === "GET" ? { status: 200, headers: { "docker-content-digest": wanted }, body: "{}" } : undefined);
  for (const reference of ["1", wanted]) await assert.rejects(repositoryAt(registries, fake).manifest(reference), failed("data-loss", /verification failed/));
  fake.rule = () => ({ status: 200, body: Buffer.alloc((4 << 20) + 1, " ") });
  await assert.rejects(repositoryAt(registries, fake).manifest(wanted), failed("system", /larger than 4194304 bytes/));
});

test("a name that is not there, in Docker's words", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const name = `${fake.host}/a/b:none`;
  await assert.rejects(repositoryAt(registries, fake).resolve("none"), { code: "not-found", message: `failed to resolve reference "${name}": ${name}: not found` });
  await assert.rejects(repositoryAt(registries, fake).resolve("a/../b"), failed("invalid-parameter", /invalid tag format/));
  fake.rule = () => unknown("DENIED", 403, "go away");
  await assert.rejects(repositoryAt(registries, fake).resolve("none"), failed("forbidden", /^error from registry: go away$/));
  fake.rule = () => ({ status: 418, body: "tea" });
  await assert.rejects(repositoryAt(registries, fake).resolve("1"), failed("system", /^unknown: failed to resolve reference ".*": unexpected status from HEAD request to http:.*: 418 I'm a Teapot$/));
});

test("a blob arrives whole, also from an offset", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addBlob(blob);
  const repository = repositoryAt(registries, fake);
  assert.ok((await bytesOf(repository.openBlob({ digest, size: blob.length }))).equals(blob));
  assert.ok((await bytesOf(repository.openBlob({ digest, size: blob.length }, { offset: 1234 }))).equals(blob.subarray(1234)));
  assert.equal(fake.asked.at(-1)?.headers.range, "bytes=1234-");
  assert.equal((await bytesOf(repository.openBlob({ digest, size: blob.length }, { offset: blob.length }))).length, 0);
});

test("a broken download goes on where it stopped, and is told", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addBlob(blob);
  let cuts = 0;
  fake.rule = (asked) => {
    if (!isBlob(asked) || cuts++ >= 5) return undefined;
    const from = Number(/\d+/.exec(asked.headers.range ?? "0")?.[0] ?? 0);
    return { status: from === 0 ? 200 : 206, headers: from === 0 ? {} : { "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}` }, body: blob.subarray(from), cutAfter: 20_000 };
  };
  const pauses: number[] = [];
  assert.ok((await bytesOf(repositoryAt(registries, fake).openBlob({ digest, size: blob.length }, { retrying: (seconds) => pauses.push(seconds) }))).equals(blob));
  /* More often than there are attempts: each brought something. */
  assert.equal(pauses.length, 5);
});

test("a registry without ranges sends again what is skipped", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addBlob(blob);
  fake.rule = (asked) => (isBlob(asked) ? { status: 200, body: blob } : undefined);
  assert.ok((await bytesOf(repositoryAt(registries, fake).openBlob({ digest, size: blob.length }, { offset: 100_001 }))).equals(blob.subarray(100_001)));
  fake.rule = (asked) => (isBlob(asked) && asked.headers.range !== undefined ? { status: 416 } : undefined);
  assert.ok((await bytesOf(repositoryAt(registries, fake).openBlob({ digest, size: blob.length }, { offset: 5 }))).equals(blob.subarray(5)));
});

test("a blob of another size is refused: shorter, longer, by its head or by its bytes", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = digestOf(blob);
  const chunked = { "transfer-encoding": "chunked" };
  for (const [body, headers] of [[blob.subarray(1), {}], [Buffer.concat([blob, blob]), {}], [blob.subarray(1), chunked], [Buffer.concat([blob, blob]), chunked]] as const) {
    fake.rule = () => ({ status: 200, headers, body });
    await assert.rejects(bytesOf(repositoryAt(registries, fake).openBlob({ digest, size: blob.length })), failed("data-loss", /^blob sha256:/));
  }
  fake.rule = () => ({ status: 206, headers: { "content-range": `bytes 9-10/${blob.length}` }, body: "ab" });
  await assert.rejects(bytesOf(repositoryAt(registries, fake).openBlob({ digest, size: blob.length }, { offset: 4 })), failed("data-loss", /unhandled content range/));
});

test("a body that stalls is given up after so many attempts without progress", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries({ limits: { stallMilliseconds: 30, answerMilliseconds: 30_000 } });
  const digest = fake.addBlob(blob);
  fake.rule = (asked) => (isBlob(asked) ? { status: 200, headers: { "content-length": String(blob.length) }, stall: true } : undefined);
  await assert.rejects(bytesOf(repositoryAt(registries, fake).openBlob({ digest, size: blob.length })), failed("system", /i\/o timeout/));
  assert.equal(fake.asked.length, 3);
});

test("answers that may pass are asked for again, as late as they say", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addManifest("1", {});
  for (const first of [{ status: 429, headers: { "retry-after": "0" } }, { status: 503 }, { status: 500 }, { status: 502 }, { status: 429, headers: { "retry-after": new Date(0).toUTCString() } }]) {
    let refusals = 2;
    fake.rule = () => (refusals-- > 0 ? first : undefined);
    assert.equal((await repositoryAt(registries, fake).resolve("1")).digest, digest);
  }
  fake.asked.length = 0;
  fake.rule = ({ method }) => (method === "GET" ? unknown("TOOMANYREQUESTS", 429, "slow down") : undefined);
  await assert.rejects(repositoryAt(registries, fake).manifest("1"), failed("system", /^error from registry: slow down$/));
  assert.equal(fake.asked.length, 5);
  /* Nobody waits for an hour. */
  fake.asked.length = 0;
  fake.rule = () => ({ ...unknown("TOOMANYREQUESTS", 429, "slow down"), headers: { "retry-after": "3600" } });
  await assert.rejects(repositoryAt(registries, fake).manifest("1"), failed("system", /^error from registry: slow down$/));
  assert.equal(fake.asked.length, 1);
});

test("a signal ends what is under way", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const digest = fake.addBlob(blob);
  const repository = repositoryAt(registries, fake);
  fake.rule = () => ({ status: 200, headers: { "content-length": String(blob.length) }, stall: true });
  for (const run of [(signal: AbortSignal) => bytesOf(repository.openBlob({ digest, size: blob.length }, { signal })), (signal: AbortSignal) => repository.manifest("1", { signal })]) {
    const controller = new AbortController();
    const running = assert.rejects(run(controller.signal), failed("cancelled", /context canceled/));
    const before = fake.asked.length;
    while (fake.asked.length === before) await new Promise(setImmediate);
    controller.abort();
    await running;
  }
  await assert.rejects(repository.resolve("1", { signal: AbortSignal.abort() }), failed("cancelled", /context canceled/));
});

test("lists of tags are read page by page, and only where they began", async () => {
  await using fake = await FakeRegistry.start();
  await using other = await FakeRegistry.start();
  using registries = openRegistries();
  const page = ({ url }: Asked): number => Number(url.searchParams.get("last") ?? 0);
  fake.rule = (asked) => (page(asked) < 2 ? { status: 200, headers: { link: `</v2/a/b/tags/list?last=${page(asked) + 1}>; rel="next"` }, body: JSON.stringify({ tags: [`t${page(asked)}`] }) } : { status: 200, body: JSON.stringify({ tags: null }) });
  assert.deepEqual(await repositoryAt(registries, fake).tags(), ["t0", "t1"]);
  fake.rule = () => ({ status: 200, headers: { link: `<${other.origin}/v2/a/b/tags/list>; rel="next"` }, body: JSON.stringify({ tags: ["x"] }) });
  await assert.rejects(repositoryAt(registries, fake).tags(), failed("invalid-parameter", /another origin/));
  assert.deepEqual(other.asked, []);
  fake.asked.length = 0;
  const long = JSON.stringify({ tags: ["x".repeat(4_000_000)] });
  fake.rule = (asked) => ({ status: 200, headers: { link: `</v2/a/b/tags/list?last=${page(asked) + 1}>; rel="next"` }, body: long });
  await assert.rejects(repositoryAt(registries, fake).tags(), failed("invalid-parameter", /does not end/));
  assert.ok(fake.asked.length < 10);
  fake.rule = () => unknown("NAME_UNKNOWN", 404, "repository name not known to registry");
  await assert.rejects(repositoryAt(registries, fake).tags(), failed("not-found", /^name unknown: repository name not known to registry$/));
});

test("a registry that is not there, in Go's words", async () => {
  using registries = openRegistries();
  const closed = await FakeRegistry.start();
  const { host } = closed;
  await closed[Symbol.asyncDispose]();
  await assert.rejects(registries.repository(parseReference(`${host}/a`)).resolve("1"), failed("system", /^failed to resolve reference ".*\/a:1": failed to do request: Head "https:\/\/.*\/v2\/a\/manifests\/1": dial tcp .*: connect: connection refused$/));
});
