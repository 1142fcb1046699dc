import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../lib/errors.ts";
import { FakeRegistry } from "./testing/fake-registry.ts";
import { openRegistries } from "./testing/open.ts";

const failed = (code: string, message: RegExp) => (error: unknown) => error instanceof GantryError && error.code === code && message.test(error.message);

test("another registry's search, with its own credentials alone", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const results = [{ name: "a/b", description: "d\nd", star_count: 3, is_official: true, is_automated: true }, { name: 5, star_count: "x" }, null];
  fake.rule = ({ url }) => (url.pathname === "/v1/_ping" ? { status: 200, body: "{}" } : { status: 200, body: JSON.stringify({ num_results: 3, results }) });
  const ask = (serverAddress: string) => registries.search({ term: `${fake.host}/a b/&`, limit: 7, credentials: { username: "u", password: "p", serverAddress } });
  assert.deepEqual(await ask(fake.host), [
    { name: "a/b", description: "d\nd", starCount: 3, isOfficial: true },
    { name: "", description: "", starCount: 0, isOfficial: false },
    { name: "", description: "", starCount: 0, isOfficial: false },
  ]);
  assert.equal(fake.lines().at(-1), "GET /v1/search?q=a%20b%2F%26&n=7");
  assert.equal(fake.asked.at(-1)?.headers.authorization, `Basic ${Buffer.from("u:p").toString("base64")}`);
  await ask("https://index.docker.io/v1/");
  assert.equal(fake.asked.at(-1)?.headers.authorization, undefined);
});

test("a registry that cannot be searched, in Docker's words", async () => {
  await using fake = await FakeRegistry.start();
  using registries = openRegistries();
  const search = (term = `${fake.host}/x`): Promise<unknown> => registries.search({ term, limit: 25 });
  await assert.rejects(search(), failed("system", /^unexpected status code 404$/));
  fake.rule = () => ({ status: 200, body: "<html>" });
  await assert.rejects(search(), failed("system", /^error decoding registry search results: /));
  await assert.rejects(search("https://x/y"), failed("invalid-parameter", /^invalid repository name: repository name \(https:\/\/x\/y\) should not have a scheme$/));
  const { host } = fake;
  await fake[Symbol.asyncDispose]();
  await assert.rejects(search(`${host}/x`), failed("invalid-parameter", /^invalid registry endpoint https:\/\/.*\/v1\/: Get ".*": dial tcp .*: connect: connection refused$/));
});
