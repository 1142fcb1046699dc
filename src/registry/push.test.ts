import assert from "node:assert/strict";
import { test } from "node:test";
import type { BlobUpload } from "../core/registry.ts";
import { digestOf } from "../lib/digest.ts";
import { GantryError } from "../lib/errors.ts";
import { mediaTypes } from "../lib/oci-image.ts";
import { parseReference } from "../lib/reference.ts";
import { type Asked, FakeRegistry, unknown } from "./testing/fake-registry.ts";
import { openRegistries } from "./testing/open.ts";

const bytes = Buffer.from(Array.from({ length: 400_000 }, (_, index) => (index * 13) % 253));
const digest = digestOf(bytes);
const failed = (code: string, message: RegExp) => (error: unknown) => error instanceof GantryError && error.code === code && message.test(error.message);
const isPatch = ({ method }: Asked): boolean => method === "PATCH";

function upload(more: Partial<BlobUpload> = {}): BlobUpload & { opened: number[] } {
  const opened: number[] = [];
  const open = async function* (offset: number): AsyncGenerator<Uint8Array> {
    opened.push(offset);
    for (let at = offset; at < bytes.length; at += 50_000) yield bytes.subarray(at, Math.min(at + 50_000, bytes.length));
  };
  return { digest, size: bytes.length, open, opened, ...more };
}

test("a blob is uploaded once", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const repository = registries.repository(parseReference(`${fake.host}/a`));
  const sent: number[] = [];
  assert.deepEqual(await repository.pushBlob(upload(), { progress: (count) => sent.push(count) }), { how: "uploaded" });
  assert.equal(sent.at(-1), bytes.length);
  assert.ok(fake.blobs.get(digest)?.equals(bytes));
  assert.deepEqual(await repository.pushBlob(upload()), { how: "exists" });
});

test("what another repository has is mounted, else uploaded to where the registry says", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const repository = registries.repository(parseReference(`${fake.host}/a`));
  fake.mountable.add("c/d");
  assert.deepEqual(await repository.pushBlob(upload({ mountFrom: ["c/d"] })), { how: "mounted", from: "c/d" });
  const blob = upload({ mountFrom: ["x/y", "c/d"] });
  assert.deepEqual(await repository.pushBlob(blob), { how: "uploaded" });
  assert.deepEqual(blob.opened, [0]);
});

test("an upload goes on where the registry is after the connection broke or the registry failed", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  let failures = 2;
  fake.rule = (asked) => {
    if (!isPatch(asked) || failures-- <= 0) return undefined;
    /* It kept a part. */
    fake.uploads.set(asked.url.pathname, (fake.uploads.get(asked.url.pathname) ?? Buffer.alloc(0)).subarray(0, 100_000 * (2 - failures)));
    return { status: 503 };
  };
  const blob = upload();
  assert.deepEqual(await registries.repository(parseReference(`${fake.host}/a`)).pushBlob(blob), { how: "uploaded" });
  assert.deepEqual(blob.opened, [0, 100_000, 200_000]);
  assert.ok(fake.blobs.get(digest)?.equals(bytes));
  assert.equal(fake.asked.filter(isPatch).at(-1)?.headers["content-range"], `200000-${bytes.length - 1}`);
});

test("an upload that the registry forgot begins anew, some times", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  let failures = 1;
  fake.rule = (asked) => {
    if (!isPatch(asked) || failures-- <= 0) return undefined;
    fake.uploads.delete(asked.url.pathname);
    return { status: 500 };
  };
  const blob = upload();
  await registries.repository(parseReference(`${fake.host}/a`)).pushBlob(blob);
  assert.deepEqual([blob.opened, fake.asked.filter(({ method }) => method === "POST").length], [[0, 0], 2]);
  fake.blobs.clear();
  failures = Number.POSITIVE_INFINITY;
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a`)).pushBlob(upload()), failed("system", /^failed to upload sha256:/));
});

test("a small blob goes with the request that ends its upload", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const small = Buffer.from("{}");
  const blob = { digest: digestOf(small), size: 2, open: async function* () { yield small; } };
  await registries.repository(parseReference(`${fake.host}/a`)).pushBlob(blob);
  assert.deepEqual(fake.asked.map(({ method, body }) => `${method} ${body.length}`), ["HEAD 0", "POST 0", "PUT 2"]);
});

test("an upload whose last answer was lost is not repeated", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  let lost = 1;
  fake.rule = ({ method, url }) => {
    if (method !== "PUT" || lost-- <= 0) return undefined;
    fake.addBlob(bytes);
    fake.uploads.delete(url.pathname);
    return { status: 504 };
  };
  const blob = upload();
  assert.deepEqual(await registries.repository(parseReference(`${fake.host}/a`)).pushBlob(blob), { how: "uploaded" });
  assert.deepEqual(blob.opened, [0]);
});

test("a refusal ends an upload at once, with the registry's words", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const repository = registries.repository(parseReference(`${fake.host}/a`));
  fake.rule = (asked) => (isPatch(asked) ? unknown("DENIED", 403, "quota exceeded") : undefined);
  await assert.rejects(repository.pushBlob(upload()), failed("forbidden", /^error from registry: quota exceeded$/));
  assert.equal(fake.asked.filter(isPatch).length, 1);
  fake.rule = ({ method }) => (method === "POST" ? { status: 202 } : undefined);
  await assert.rejects(repository.pushBlob(upload()), failed("system", /unable to parse location ""/));
});

test("a blob that is shorter here than it says is noticed", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const short = upload({ open: async function* () { yield bytes.subarray(5); } });
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a`)).pushBlob(short), failed("data-loss", /has 399995 bytes here, not 400000/));
});

test("credentials do not follow an upload to another origin", async () => {
  await using fake = await FakeRegistry.start();
  await using storage = await FakeRegistry.start();
  using registries = openRegistries();
  const location = "/v2/a/blobs/uploads/there";
  storage.uploads.set(location, Buffer.alloc(0));
  fake.rule = ({ method, headers }) => (headers.authorization === undefined ? { status: 401, headers: { "www-authenticate": "Basic" } } : method === "POST" ? { status: 202, headers: { location: `${storage.origin}${location}` } } : undefined);
  await registries.repository(parseReference(`${fake.host}/a`), { credentials: { username: "u", password: "p" } }).pushBlob(upload());
  assert.ok(storage.blobs.has(digest));
  assert.ok(storage.asked.every(({ headers }) => headers.authorization === undefined));
});

test("manifests are put as they are, and compared", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const repository = registries.repository(parseReference(`${fake.host}/a`));
  const manifest = { mediaType: mediaTypes.ociManifest, digest: digestOf("{ }"), bytes: Buffer.from("{ }") };
  assert.equal(await repository.hasManifest("1", manifest.digest), false);
  await repository.putManifest("1", manifest);
  assert.equal(fake.manifests.get("1")?.bytes.toString(), "{ }");
  assert.equal(await repository.hasManifest("1", manifest.digest), true);
  assert.equal(await repository.hasManifest("1", digestOf("other")), false);
  fake.rule = ({ method }) => (method === "PUT" ? { status: 201, headers: { "docker-content-digest": digestOf("other") } } : undefined);
  await assert.rejects(repository.putManifest("1", manifest), failed("system", /^got digest sha256:/));
});

test("a signal ends an upload", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const controller = new AbortController();
  const endless = upload({
    open: async function* () {
      yield bytes.subarray(0, 10);
      controller.abort();
      await new Promise(() => undefined);
    },
  });
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a`)).pushBlob(endless, { signal: controller.signal }), failed("cancelled", /context canceled/));
});
