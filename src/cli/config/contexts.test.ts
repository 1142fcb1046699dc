import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, test } from "node:test";
import { packTar, unpackTar } from "../commands/context/archive.ts";
import { run as importContext } from "../commands/context/import.ts";
import type { Session } from "../session.ts";
import { ContextStore, validateContextName } from "./contexts.ts";
import { loadConfig, withProxies } from "./file.ts";

const folder = mkdtempSync(`${tmpdir()}/gantry-contexts-`);
after(() => rmSync(folder, { recursive: true, force: true }));

test("contexts are kept where Docker keeps them", () => {
  const store = new ContextStore(folder);
  store.save({ Name: "one", Metadata: { Description: "d" }, Endpoints: { docker: { Host: "unix:///x.sock", SkipTLSVerify: false } } });
  const file = `${folder}/contexts/meta/7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed/meta.json`;
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { Name: "one", Metadata: { Description: "d" }, Endpoints: { docker: { Host: "unix:///x.sock", SkipTLSVerify: false } } });
  assert.deepEqual(store.names(), ["one"]);
  assert.equal(store.get("one").Endpoints["docker"]?.Host, "unix:///x.sock");
  store.saveTls("one", { ca: Buffer.from("CA") });
  assert.equal(readFileSync(store.tlsFiles("one").ca ?? "", "utf8"), "CA");
  store.remove("one");
  assert.ok(!existsSync(file));
  assert.throws(() => store.get("one"), { message: `context "one": context not found: open ${file}: no such file or directory` });
});

test("names of contexts", () => {
  assert.throws(() => validateContextName("a b"), { message: 'context name "a b" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"' });
  assert.throws(() => validateContextName("default"), { message: '"default" is a reserved context name' });
});

test("archives of contexts", () => {
  const files = [{ name: "meta.json", data: Buffer.from("{}") }, { name: "tls/docker/ca.pem", data: Buffer.alloc(600, "x") }];
  assert.deepEqual(unpackTar(packTar(files)).map(({ name, data }) => ({ name, data: Buffer.from(data) })), files);
  assert.throws(() => unpackTar(packTar(files).subarray(0, 1700)), { message: "invalid context: archive is damaged" });
});

test("an imported context keeps the certificates of every endpoint, and nothing else comes in", () => {
  const contexts = new ContextStore(folder);
  const imported = (files: string[]): void => {
    const archive = `${folder}/context.tar`;
    writeFileSync(archive, packTar(["meta.json", ...files].map((name) => ({ name, data: Buffer.from("{}") }))));
    importContext({ args: ["old", archive], contexts, out: { line: () => {} }, err: { line: () => {} } } as unknown as Session);
  };
  for (const file of ["tls/docker/other.pem", "tls/../ca.pem", "tls/a/b/ca.pem", "evil"]) assert.throws(() => imported([file]), { message: `${file}: unexpected context file` });
  assert.ok(!contexts.has("old"));
  imported(["tls/docker/ca.pem", "tls/kubernetes/key.pem"]);
  assert.deepEqual(Object.keys(contexts.tlsFiles("old")), ["ca"]);
  assert.equal(readFileSync(contexts.tlsFiles("old").ca!.replace("docker/ca.pem", "kubernetes/key.pem"), "utf8"), "{}");
  contexts.remove("old");
});

test("the configuration file keeps what it does not know, for its owner only", () => {
  writeFileSync(`${folder}/config.json`, '{"other":{"a":1},"currentContext":"x"}');
  const config = loadConfig(folder);
  delete config.data.currentContext;
  config.save();
  assert.deepEqual(JSON.parse(readFileSync(`${folder}/config.json`, "utf8")), { other: { a: 1 } });
  assert.equal(statSync(`${folder}/config.json`).mode & 0o777, 0o600);
});

test("proxies come from the configuration unless they are given", () => {
  const config = { proxies: { default: { httpProxy: "http://p", noProxy: "x" } } };
  assert.deepEqual(withProxies(config, "unix:///x", ["A=1", "http_proxy=mine", "A=2"]), ["A=2", "http_proxy=mine", "HTTP_PROXY=http://p", "NO_PROXY=x", "no_proxy=x"]);
});
