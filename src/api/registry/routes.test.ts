import assert from "node:assert/strict";
import { test } from "node:test";
import type { Registries, RegistryAccess, RegistryCredentials, SearchQuery } from "../../core/registry.ts";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { GantryError, notFound } from "../../lib/errors.ts";
import { mediaTypes } from "../../lib/oci-image.ts";
import { serve } from "../testing/harness.ts";
import { registryRoutes } from "./routes.ts";

interface Fake {
  registries: Registries;
  asked: { credentials?: RegistryCredentials | undefined; access?: RegistryAccess | undefined; query?: SearchQuery; name?: string }[];
  manifests: Map<string, { mediaType: string; json: object }>;
  blobs: Map<Digest, Buffer>;
}

function fake(): Fake {
  const state: Omit<Fake, "registries"> = { asked: [], manifests: new Map(), blobs: new Map() };
  const unused = (): never => {
    throw new Error("not asked for here");
  };
  const registries: Registries = {
    login: async (credentials) => {
      state.asked.push({ credentials });
      if (credentials.password !== "secret") throw new GantryError("system", "login attempt failed");
      return { identityToken: credentials.username === "lasting" ? "token" : "" };
    },
    search: async (query) => {
      state.asked.push({ query });
      return [{ name: "a", description: "d", starCount: 5, isOfficial: true }, { name: "b", description: "", starCount: 1, isOfficial: false }];
    },
    repository: ({ domain, path }, access) => ({
      resolve: unused,
      manifest: async (reference) => {
        state.asked.push({ access, name: `${domain}/${path} ${reference}` });
        const found = state.manifests.get(reference);
        if (!found) throw notFound(`failed to resolve ${reference}`);
        const bytes = Buffer.from(JSON.stringify(found.json));
        return { mediaType: found.mediaType, digest: digestOf(bytes), bytes };
      },
      openBlob: async function* ({ digest }) {
        yield state.blobs.get(digest) ?? Buffer.alloc(0);
      },
      tags: unused,
      hasManifest: unused,
      hasBlob: unused,
      pushBlob: unused,
      putManifest: unused,
    }),
    settings: unused,
  };
  return { ...state, registries };
}

const bodyOf = (answer: string): unknown => JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4));
const header = (auth: object): string => Buffer.from(JSON.stringify(auth)).toString("base64url");

test("POST /auth: succeeds, with a token, and fails", async () => {
  const { registries, asked } = fake();
  await using api = await serve(registryRoutes(registries));
  const login = (json: string): Promise<string> => api.request(`POST /auth HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: ${json.length}`, json);
  assert.deepEqual(bodyOf(await login('{"username":"u","PASSWORD":"secret","serveraddress":"r"}')), { Status: "Login Succeeded" });
  assert.deepEqual(bodyOf(await login('{"username":"lasting","password":"secret"}')), { Status: "Login Succeeded", IdentityToken: "token" });
  assert.match(await login("{}"), /^HTTP\/1\.1 500 [^]*login attempt failed/);
  assert.match(await login("["), /^HTTP\/1\.1 400 [^]*invalid X-Registry-Auth header/);
  assert.deepEqual(asked[0]?.credentials, { username: "u", password: "secret", serverAddress: "r", identityToken: "" });
});

test("GET /images/search: filters, limits and the client's headers", async () => {
  const { registries, asked } = fake();
  await using api = await serve(registryRoutes(registries));
  const search = (query: string, more = ""): Promise<string> => api.request(`GET /images/search?${query} HTTP/1.1\nHost: x${more}`);
  const names = async (filters: object): Promise<unknown> => (bodyOf(await search(`term=x&filters=${encodeURIComponent(JSON.stringify(filters))}`)) as { name: string }[]).map(({ name }) => name);
  assert.deepEqual(bodyOf(await search("term=x&limit=1", `\nX-Registry-Auth: ${header({ username: "u", password: "p", serveraddress: "s" })}\nX-Meta-A: 1`)), [
    { star_count: 5, is_official: true, name: "a", is_automated: false, description: "d" },
    { star_count: 1, is_official: false, name: "b", is_automated: false, description: "" },
  ]);
  assert.deepEqual(asked[0]?.query, { term: "x", limit: 1, credentials: { username: "u", password: "p", serverAddress: "s", identityToken: "", registryToken: "" }, headers: { "x-meta-a": "1" } });
  assert.deepEqual([await names({ stars: ["2"] }), await names({ "is-official": ["false"] }), await names({ "is-automated": ["true"] })], [["a"], ["b"], []]);
  assert.equal(asked[1]?.query?.limit, 25);
  for (const query of ["term=x&limit=101", "term=x&limit=a", "term=x&limit=-1", `term=x&filters=${encodeURIComponent('{"no":["x"]}')}`]) assert.match(await search(query), /^HTTP\/1\.1 400 /, query);
});

test("GET /distribution: a manifest, an index, Docker's own, and what is not there", async () => {
  const { registries, asked, manifests, blobs } = fake();
  await using api = await serve(registryRoutes(registries));
  const inspect = (name: string, more = ""): Promise<string> => api.request(`GET /distribution/${name}/json HTTP/1.1\nHost: x${more}`);
  const config = Buffer.from('{"architecture":"arm64","os":"linux","variant":"v8"}');
  blobs.set(digestOf(config), config);
  const manifest = { schemaVersion: 2, config: { mediaType: "x", digest: digestOf(config), size: config.length }, layers: [] };
  manifests.set("oci", { mediaType: mediaTypes.ociManifest, json: manifest });
  manifests.set("docker", { mediaType: mediaTypes.dockerManifest, json: manifest });
  manifests.set("index", { mediaType: mediaTypes.ociIndex, json: { schemaVersion: 2, manifests: [{ mediaType: "x", digest: digestOf(config), size: 1, platform: { os: "linux", architecture: "amd64" } }] } });
  manifests.set("old", { mediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws", json: { schemaVersion: 1 } });
  const { Descriptor, Platforms } = bodyOf(await inspect("r.test/a:oci", `\nX-Registry-Auth: ${header({ username: "u" })}`)) as { Descriptor: object; Platforms: unknown };
  assert.deepEqual([Descriptor, Platforms], [{ mediaType: mediaTypes.ociManifest, digest: digestOf(JSON.stringify(manifest)), size: JSON.stringify(manifest).length }, null]);
  assert.deepEqual([asked[0]?.name, asked[0]?.access?.credentials?.username], ["r.test/a oci", "u"]);
  const platforms = async (name: string): Promise<unknown> => (bodyOf(await inspect(name)) as { Platforms: unknown }).Platforms;
  assert.deepEqual(await platforms("r.test/a:docker"), [{ architecture: "arm64", os: "linux", variant: "v8" }]);
  assert.deepEqual(await platforms("r.test/a:index"), [{ os: "linux", architecture: "amd64" }]);
  assert.match(await inspect("r.test/a:none"), /^HTTP\/1\.1 404 [^]*"manifest unknown: manifest unknown"/);
  assert.match(await inspect("r.test/a:old"), /^HTTP\/1\.1 400 [^]*schema 1 support has been removed/);
  assert.match(await inspect("BAD"), /^HTTP\/1\.1 400 /);
  assert.match(await inspect("a".repeat(64)), /^HTTP\/1\.1 500 [^]*no manifest found for full image ID/);
});
