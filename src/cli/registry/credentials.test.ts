import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { loadConfig } from "../config/file.ts";
import { allCredentials, authKey, credentialsFor, hostOfServer, INDEX_SERVER } from "./auth.ts";
import { eraseCredentials, storeCredentials } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-credentials-"));
const environment = { ...process.env };
after(() => {
  process.env = environment;
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  process.env = { ...environment, PATH: `${folder}:${environment["PATH"]}`, STORE: join(folder, "store") };
  delete process.env["DOCKER_AUTH_CONFIG"];
  rmSync(join(folder, "config.json"), { force: true });
  rmSync(join(folder, "store"), { force: true });
});

/* Keeps one secret; says what helpers say when they have none. */
writeFileSync(join(folder, "docker-credential-fake"), '#!/bin/sh\ncase $1 in\nstore) cat >"$STORE" ;;\nget) read server; [ -s "$STORE" ] && grep -q "\\"$server\\"" "$STORE" && cat "$STORE" || { echo "credentials not found in native keychain"; exit 1; } ;;\nerase) read server; rm "$STORE" 2>/dev/null || { echo "nothing to erase"; exit 1; } ;;\nesac\n', { mode: 0o755 });

const fileText = (): string => readFileSync(join(folder, "config.json"), "utf8");
const configured = (data: object): ReturnType<typeof loadConfig> => {
  writeFileSync(join(folder, "config.json"), JSON.stringify(data));
  return loadConfig(folder);
};

test("the file keeps credentials for its owner, and what else it has", () => {
  const config = configured({ psFormat: "json", auths: { other: { auth: "eA==" } } });
  storeCredentials(config, { username: "u", password: "p:q", serveraddress: "r.example" });
  assert.equal(statSync(join(folder, "config.json")).mode & 0o777, 0o600);
  assert.deepEqual(JSON.parse(fileText()), { psFormat: "json", auths: { other: { auth: "eA==" }, "r.example": { auth: Buffer.from("u:p:q").toString("base64") } } });
  assert.deepEqual(credentialsFor(loadConfig(folder).data, "r.example"), { username: "u", password: "p:q", serveraddress: "r.example" });
  assert.deepEqual(credentialsFor(loadConfig(folder).data, "unknown"), {});
  assert.deepEqual(Object.keys(allCredentials(loadConfig(folder).data)), ["other", "r.example"]);
  eraseCredentials(config, ["r.example", "https://r.example"]);
  assert.deepEqual(Object.keys(JSON.parse(fileText()).auths), ["other"]);
});

test("addresses of old files, and Docker Hub's own", () => {
  const config = configured({ auths: { "https://r.example/v1/": { auth: Buffer.from("u:p").toString("base64") } } });
  assert.equal(credentialsFor(config.data, "r.example").username, "u");
  assert.equal(authKey({ domain: "docker.io" }), INDEX_SERVER);
  assert.equal(hostOfServer("https://r.example:5000/v2/"), "r.example:5000");
});

test("helper programs: by registry before the store of all, with the address in the file", () => {
  const config = configured({ credsStore: "none", credHelpers: { "r.example": "fake" } });
  assert.deepEqual(credentialsFor(config.data, "r.example"), {});
  storeCredentials(config, { username: "u", identitytoken: "t", serveraddress: "r.example" });
  assert.deepEqual(JSON.parse(fileText()).auths, { "r.example": {} });
  assert.ok(!fileText().includes("dTo"));
  assert.deepEqual(credentialsFor(config.data, "r.example"), { identitytoken: "t", serveraddress: "r.example" });
  storeCredentials(config, { username: "u", password: "p", serveraddress: "r.example" });
  assert.deepEqual(credentialsFor(config.data, "r.example"), { username: "u", password: "p", serveraddress: "r.example" });
  eraseCredentials(config, ["r.example"]);
  assert.deepEqual(JSON.parse(fileText()).auths, {});
  assert.throws(() => eraseCredentials(config, ["r.example"]), /^Error: r\.example: .*nothing to erase/);
  assert.throws(() => credentialsFor(config.data, "other"), /error getting credentials - err: .*docker-credential-none/);
});

test("the environment's credentials count first", () => {
  const config = configured({ auths: { "r.example": { auth: Buffer.from("file:p").toString("base64") } } });
  process.env["DOCKER_AUTH_CONFIG"] = JSON.stringify({ auths: { "r.example": { auth: Buffer.from("env:p").toString("base64") } } });
  assert.equal(credentialsFor(config.data, "r.example").username, "env");
  for (const malformed of ["{", '{"auths":{"r.example":{}}}']) {
    process.env["DOCKER_AUTH_CONFIG"] = malformed;
    assert.equal(credentialsFor(config.data, "r.example").username, "file");
  }
});
