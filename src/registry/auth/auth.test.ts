import assert from "node:assert/strict";
import { test } from "node:test";
import type { RegistryCredentials, Repository } from "../../core/registry.ts";
import { digestOf } from "../../lib/digest.ts";
import { GantryError } from "../../lib/errors.ts";
import { parseReference } from "../../lib/reference.ts";
import { type Asked, bytesOf, FakeRegistry } from "../testing/fake-registry.ts";
import { openRegistries } from "../testing/open.ts";
import { TokenServer } from "../testing/token-server.ts";

const user: RegistryCredentials = { username: "user", password: "secret" };
const failed = (code: string, message: RegExp) => (error: unknown) => error instanceof GantryError && error.code === code && message.test(error.message);
const actionsOf = ({ method, url }: Asked): string => (url.pathname === "/v2/" ? "" : `repository:${url.pathname.split("/").slice(2, 4).join("/")}:${method === "GET" || method === "HEAD" ? "pull" : "pull,push"}`);
const authorizations = ({ asked }: FakeRegistry): (string | undefined)[] => asked.map(({ headers }) => headers.authorization);
const basicHeader = `Basic ${Buffer.from("user:secret").toString("base64")}`;

/** Asks for a password, as htpasswd does. */
const basicRule = ({ headers }: Asked): { status: number; headers: Record<string, string> } | undefined => (headers.authorization === basicHeader ? undefined : { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } });

test("Basic: the password after the question, and then at once", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  fake.rule = basicRule;
  fake.addManifest("1", {});
  const repository = registries.repository(parseReference(`${fake.host}/a`), { credentials: user });
  await repository.resolve("1");
  await repository.resolve("1");
  assert.deepEqual(authorizations(fake), [undefined, basicHeader, basicHeader]);
});

test("Basic: nobody, and a wrong password, in Docker's words and without a loop", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  fake.rule = basicRule;
  const reference = parseReference(`${fake.host}/a:1`);
  await assert.rejects(registries.repository(reference).resolve("1"), failed("system", /^failed to resolve reference ".*": pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials$/));
  fake.asked.length = 0;
  await assert.rejects(registries.repository(reference, { credentials: { ...user, password: "x" } }).resolve("1"), failed("system", /^unknown: failed to resolve reference ".*": unexpected status from HEAD request to http:.*: 401 Unauthorized$/));
  assert.ok(fake.asked.length <= 3, `${fake.asked.length} requests`);
});

for (const post of [true, false]) {
  test(`Bearer by ${post ? "POST" : "GET"}: a token for each scope, asked for once`, async () => {
    await using tokens = await TokenServer.start();
    await using fake = await FakeRegistry.start();
    using registries = openRegistries();
    tokens.post = post;
    fake.rule = tokens.guard((asked) => actionsOf(asked));
    fake.addManifest("1", {});
    const repository = (): Repository => registries.repository(parseReference(`${fake.host}/a/b`), { credentials: user });
    await Promise.all([repository().resolve("1"), repository().resolve("1"), repository().resolve("1")]);
    await repository().resolve("1");
    assert.equal(tokens.issued, 1);
    /* No password for the registry, and none in an address. */
    assert.ok(authorizations(fake).every((text) => text === undefined || text === "Bearer t1"));
    assert.ok(tokens.server.lines().every((line) => !line.includes("secret")));
  });
}

test("Bearer: anonymous, refused and wrong credentials, in Docker's words", async () => {
  await using tokens = await TokenServer.start();
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  fake.rule = tokens.guard(actionsOf);
  fake.addManifest("1", {});
  await registries.repository(parseReference(`${fake.host}/a/public`)).resolve("1");
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a/b`)).resolve("1"), failed("not-found", /^pull access denied for .*\/a\/b, repository does not exist or may require 'docker login'$/));
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a/b`), { credentials: { ...user, password: "x" } }).resolve("1"), failed("unauthorized", /incorrect username or password/));
  const blob = { digest: digestOf("x"), size: 1, open: async function* () { yield Buffer.from("x"); } };
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a/b`)).pushBlob(blob), failed("system", /^push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed$/));
});

test("Bearer: identity tokens are exchanged, registry tokens used as they are", async () => {
  await using tokens = await TokenServer.start();
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  fake.rule = tokens.guard(actionsOf);
  fake.addManifest("1", {});
  await registries.repository(parseReference(`${fake.host}/a/b`), { credentials: { username: "user", identityToken: "lasting" } }).resolve("1");
  assert.match(tokens.server.asked[0]?.body.toString() ?? "", /grant_type=refresh_token&refresh_token=lasting/);
  tokens.granted.set("given", ["repository:a/b:pull"]);
  fake.asked.length = 0;
  await registries.repository(parseReference(`${fake.host}/a/b`), { credentials: { registryToken: "given" } }).resolve("1");
  assert.deepEqual(authorizations(fake), ["Bearer given"]);
});

test("a token that expires, or is revoked in the middle of a push, is replaced", async () => {
  await using tokens = await TokenServer.start();
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const guard = tokens.guard(actionsOf);
  /* Every token is good for two requests. */
  const uses = new Map<string, number>();
  fake.rule = (asked) => {
    const token = asked.headers.authorization?.slice("Bearer ".length) ?? "";
    uses.set(token, (uses.get(token) ?? 0) + 1);
    if ((uses.get(token) ?? 0) > 2) tokens.granted.delete(token);
    return guard(asked);
  };
  const bytes = Buffer.alloc(200_000, "x");
  const repository = registries.repository(parseReference(`${fake.host}/a/b`), { credentials: user });
  await repository.pushBlob({ digest: digestOf(bytes), size: bytes.length, open: async function* (offset) { yield bytes.subarray(offset); } });
  assert.ok(fake.blobs.get(digestOf(bytes))?.equals(bytes));
  /* Expired by the clock: not even tried. */
  tokens.expiresIn = 0.000_001;
  fake.rule = guard;
  fake.addManifest("1", {});
  const before = tokens.issued;
  const other = registries.repository(parseReference(`${fake.host}/a/c`), { credentials: user });
  await other.resolve("1");
  await new Promise((resolve) => setTimeout(resolve, 5));
  await other.resolve("1");
  assert.ok(tokens.issued >= before + 2);
});

test("a registry that never lets anybody in is asked a few times only", async () => {
  await using tokens = await TokenServer.start();
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  for (const error of ["", ',error="invalid_token"']) {
    fake.asked.length = 0;
    fake.rule = () => ({ status: 401, headers: { "www-authenticate": `Bearer realm="${tokens.server.origin}/token",service="s"${error}` } });
    await assert.rejects(registries.repository(parseReference(`${fake.host}/a/b`), { credentials: user }).resolve("1"));
    assert.ok(fake.asked.length <= 4, `${fake.asked.length} requests`);
  }
});

test("credentials stay with their registry: redirects, other origins' questions, layers' addresses", async () => {
  await using fake = await FakeRegistry.start();
  await using evil = await FakeRegistry.start();
  await using tokens = await TokenServer.start();
  using registries = openRegistries();
  const bytes = Buffer.from("layer");
  const digest = evil.addBlob(bytes);
  fake.rule = (asked) => basicRule(asked) ?? (asked.url.pathname.includes("/blobs/") ? { status: 307, headers: { location: `${evil.origin}${asked.url.pathname}?X-Signature=abc` } } : undefined);
  const repository = registries.repository(parseReference(`${fake.host}/a/b`), { credentials: user, headers: { "x-meta-secret": "s" } });
  assert.ok((await bytesOf(repository.openBlob({ digest, size: bytes.length }))).equals(bytes));
  /* It asks for a password, and for a token of a server that would see one. */
  for (const challenge of ['Basic realm="r"', `Bearer realm="${tokens.server.origin}/token",service="s"`]) {
    evil.rule = () => ({ status: 401, headers: { "www-authenticate": challenge } });
    await assert.rejects(bytesOf(repository.openBlob({ digest, size: bytes.length })), failed("system", /401 Unauthorized/));
  }
  evil.rule = () => undefined;
  fake.rule = basicRule;
  assert.ok((await bytesOf(repository.openBlob({ digest, size: bytes.length, urls: ["ftp://x/", `${evil.origin}/v2/a/b/blobs/${digest}`] }))).equals(bytes));
  assert.ok(evil.asked.length >= 4);
  for (const { headers } of [...evil.asked, ...tokens.server.asked]) assert.deepEqual([headers.authorization, headers["x-meta-secret"]], [undefined, undefined]);
  assert.deepEqual(tokens.server.asked, []);
  // Control: a client that takes its headers along when it is sent elsewhere.
  const { authorization } = fake.asked.find(({ headers }) => headers.authorization !== undefined)!.headers;
  await (await fetch(`${evil.origin}/v2/a/b/blobs/${digest}`, { headers: { authorization: authorization! } })).arrayBuffer();
  assert.equal(evil.asked.at(-1)!.headers.authorization, basicHeader);
});

test("credentials of one registry are not for another, nor for mirrors", async () => {
  await using fake = await FakeRegistry.start();
  await using mirror = await FakeRegistry.start();
  await using tokens = await TokenServer.start();
  fake.rule = mirror.rule = basicRule;
  using registries = openRegistries({ hosts: { mirrors: [mirror.origin] } });
  await assert.rejects(registries.repository(parseReference(`${fake.host}/a`), { credentials: { ...user, serverAddress: "registry.example" } }).resolve("1"), failed("system", /no basic auth credentials/));
  mirror.rule = tokens.guard(actionsOf);
  mirror.addManifest("1", {});
  await registries.repository(parseReference("library/public"), { credentials: { ...user, serverAddress: "https://index.docker.io/v1/" } }).resolve("1");
  assert.ok(mirror.asked.length > 0 && tokens.server.asked.length > 0);
  for (const { headers, body } of [...fake.asked, ...mirror.asked, ...tokens.server.asked]) assert.ok(!`${headers.authorization} ${body.toString()}`.includes("secret") && headers.authorization !== basicHeader);
});

test("login: by password, with a lasting token, and refused", async () => {
  await using tokens = await TokenServer.start();
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const at = (credentials: RegistryCredentials): Promise<{ identityToken: string }> => registries.login({ ...credentials, serverAddress: `https://${fake.host}/v1/` });
  assert.deepEqual(await at(user), { identityToken: "" });
  fake.rule = basicRule;
  assert.deepEqual(await at(user), { identityToken: "" });
  await assert.rejects(at({ ...user, password: "x" }), failed("system", /^login attempt to http:\/\/.*\/v2\/ failed with status: 401 Unauthorized$/));
  await assert.rejects(at({}), failed("system", /^Get "http:\/\/.*\/v2\/": no basic auth credentials$/));
  fake.rule = tokens.guard(actionsOf);
  assert.deepEqual(await at(user), { identityToken: "lasting" });
  await assert.rejects(at({ ...user, password: "x" }), failed("unauthorized", /^Get ".*": unauthorized: .*incorrect username or password/));
  await assert.rejects(registries.login({ ...user, serverAddress: "a b" }), failed("invalid-parameter", /unable to parse server address/));
});
