import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as plainRequest } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { GantryError } from "../../lib/errors.ts";
import { parseReference } from "../../lib/reference.ts";
import { makeCertificates } from "../testing/certificates.ts";
import { bytesOf, FakeRegistry } from "../testing/fake-registry.ts";
import { openRegistries } from "../testing/open.ts";
import { Hosts } from "./hosts.ts";
import { isInsecure, parseInsecure } from "./insecure.ts";
import { parseMirror } from "./mirror.ts";

const failed = (code: string, message: RegExp) => (error: unknown) => error instanceof GantryError && error.code === code && message.test(error.message);
const certificates = makeCertificates();
const roots: string[] = [];
after(() => {
  certificates[Symbol.dispose]();
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});
const pem = (name: string): Buffer => readFileSync(join(certificates.folder, `${name}.pem`));
const server = { key: pem("server-key"), cert: pem("server") };

/** A certs.d with a registry's folder. */
function certsFolder(registry: string, files: Record<string, string | Buffer>): string {
  const root = mkdtempSync(join(tmpdir(), "gantry-certs-"));
  roots.push(root);
  mkdirSync(join(root, registry));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, registry, name), text);
  return root;
}

test("Docker Hub, a registry, and those of this machine", async () => {
  const hosts = new Hosts({ mirrors: ["http://m.example/x"], insecureRegistries: ["lax.example:5000", "10.0.0.0/8"], certsFolders: [] });
  const shown = async (registry: string): Promise<string[]> =>
    (await hosts.endpointsOf(registry)).map(({ scheme, host, path, capabilities, tls, plainFallback }) => `${scheme}://${host}${path} ${[...capabilities].join(",")}${tls.skipVerify ? " any" : ""}${plainFallback ? " plain" : ""}`);
  assert.deepEqual(await shown("docker.io"), ["http://m.example/x/v2 pull,resolve", "https://registry-1.docker.io/v2 pull,resolve,push"]);
  assert.deepEqual(await shown("r.example"), ["https://r.example/v2 pull,resolve,push"]);
  assert.deepEqual(await shown("localhost"), ["https://localhost/v2 pull,resolve,push any"]);
  assert.deepEqual(await shown("localhost:5000"), ["https://localhost:5000/v2 pull,resolve,push any plain"]);
  assert.deepEqual(await shown("127.0.0.1:80"), ["http://127.0.0.1:80/v2 pull,resolve,push"]);
  assert.deepEqual(await shown("[::1]:5000"), ["https://[::1]:5000/v2 pull,resolve,push any plain"]);
  assert.deepEqual(await shown("lax.example:5000"), ["https://lax.example:5000/v2 pull,resolve,push any plain"]);
  assert.deepEqual(await shown("10.1.2.3"), ["https://10.1.2.3/v2 pull,resolve,push any plain"]);
  assert.deepEqual(await shown("11.1.2.3"), ["https://11.1.2.3/v2 pull,resolve,push"]);
});

test("hosts.toml: order, capabilities, paths, certificates, headers", async () => {
  const root = certsFolder("r.example_5000_", {
    "hosts.toml": `
      server = "https://real.example"
      ca = "ca.pem"
      [host."http://first.example/prefix"]
        capabilities = ["pull"]
        override_path = true
        [host."http://first.example/prefix".header]
          x-key = ["a", "b"]
      [host."second.example:8443"]
        capabilities = ["pull", "resolve", "referrers"]
        skip_verify = true
        client = [["c.pem", "/k.pem"], "both.pem"]
        dial_timeout = "1m30s"`,
  });
  const hosts = new Hosts({ mirrors: [], insecureRegistries: [], certsFolders: ["/nonexistent", root] });
  const [first, second, last, ...more] = await hosts.endpointsOf("r.example:5000");
  const folder = join(root, "r.example_5000_");
  const plain = { skipVerify: false, authorities: [], clientPairs: [] };
  assert.deepEqual(first, { scheme: "http", host: "first.example", path: "/prefix", capabilities: new Set(["pull"]), tls: plain, plainFallback: false, headers: { "x-key": "a, b" }, dialMilliseconds: undefined });
  assert.deepEqual([second?.scheme, second?.host, second?.path, second?.dialMilliseconds], ["https", "second.example:8443", "/v2", 90_000]);
  assert.deepEqual(second?.tls, { skipVerify: true, authorities: [], clientPairs: [[join(folder, "c.pem"), "/k.pem"], [join(folder, "both.pem"), join(folder, "both.pem")]] });
  assert.deepEqual([last?.host, last?.tls.authorities, more], ["real.example", [join(folder, "ca.pem")], []]);
});

test("a folder for all others, and files that say nothing sensible", async () => {
  const at = (root: string) => new Hosts({ mirrors: [], insecureRegistries: [], certsFolders: [root] }).endpointsOf("r.example");
  assert.deepEqual((await at(certsFolder("_default", { "hosts.toml": '[host."https://m.example"]' }))).map(({ host }) => host), ["m.example", "r.example"]);
  for (const text of ["server = ", 'capabilities = ["fly"]', "ca = 5", 'server = "ftp://x"', "[header]\nx = 1"]) {
    await assert.rejects(at(certsFolder("r.example", { "hosts.toml": text })), failed("system", /^invalid registry configuration .*hosts\.toml: /));
  }
});

test("a registry's certificate counts, and it may ask for one", async () => {
  await using fake = await FakeRegistry.start({ ...server, ca: pem("ca"), requestCert: true, rejectUnauthorized: true });
  const digest = fake.addManifest("1", {});
  const resolve = async (files: Record<string, string | Buffer>, toml = ""): Promise<string> => {
    const root = certsFolder("r.example", { ...files, ...(toml === "" ? {} : { "hosts.toml": `server = "${fake.origin}"\n${toml}` }) });
    using registries = openRegistries({ hosts: { certsFolders: [root] } });
    return (await registries.repository(parseReference("r.example/a")).resolve("1")).digest;
  };
  const files = { "ca.crt": pem("ca"), "client.pem": pem("client"), "client.key": pem("client-key") };
  assert.equal(await resolve(files, 'ca = "ca.crt"\nclient = [["client.pem", "client.key"]]'), digest);
  await assert.rejects(resolve(files, 'client = [["client.pem", "client.key"]]'), failed("system", /tls: failed to verify certificate: x509: certificate signed by unknown authority/));
  await assert.rejects(resolve(files, 'ca = "ca.crt"'), failed("system", /failed to do request: Head "https:/));
  await assert.rejects(resolve(files, 'ca = "missing.crt"'), failed("system", /missing\.crt/));
  /* Docker's names of files, for a registry on this machine. */
  const root = certsFolder(fake.host, { "ca.crt": pem("ca"), "client.cert": pem("client"), "client.key": pem("client-key") });
  using registries = openRegistries({ hosts: { certsFolders: [root] } });
  assert.equal((await registries.repository(parseReference(`${fake.host}/a`)).resolve("1")).digest, digest);
});

test("a registry on IPv6", async (context) => {
  const fake = await FakeRegistry.start(undefined, "::1").catch(() => undefined);
  if (!fake) return context.skip("this machine has no IPv6 loopback");
  await using started = fake;
  using registries = openRegistries();
  const digest = started.addManifest("1", {});
  assert.equal((await registries.repository(parseReference(`${started.host}/a`)).resolve("1")).digest, digest);
});

test("mirrors are asked first, the registry for what they cannot or do not have", async () => {
  await using registry = await FakeRegistry.start();
  await using mirror = await FakeRegistry.start();
  const bytes = Buffer.from("layer");
  const digest = registry.addBlob(bytes);
  const manifest = registry.addManifest("1", {});
  const root = certsFolder("r.example", { "hosts.toml": `server = "${registry.origin}"\n[host."${mirror.origin}"]\ncapabilities = ["pull"]` });
  using registries = openRegistries({ hosts: { certsFolders: [root] } });
  const repository = registries.repository(parseReference("r.example/a"));
  assert.equal((await repository.resolve("1")).digest, manifest);
  assert.deepEqual(mirror.asked, [], "it may not say what a tag is");
  assert.ok((await bytesOf(repository.openBlob({ digest, size: 5 }))).equals(bytes));
  mirror.addBlob(bytes);
  registry.asked.length = 0;
  assert.ok((await bytesOf(repository.openBlob({ digest, size: 5 }))).equals(bytes));
  assert.deepEqual([registry.lines(), mirror.lines().at(-1)], [[], `GET /v2/a/blobs/${digest}?ns=r.example`]);
  for (const rule of [() => ({ status: 503 }), () => ({ status: 200, body: "other" })]) {
    mirror.rule = rule;
    assert.equal((await repository.manifest(manifest)).digest, manifest);
  }
  await mirror[Symbol.asyncDispose]();
  assert.equal((await repository.manifest(manifest)).digest, manifest);
});

test("through a proxy: plain and by a tunnel", async () => {
  await using plain = await FakeRegistry.start();
  await using secure = await FakeRegistry.start(server);
  const seen: string[] = [];
  const proxy = createServer((req, res) => {
    seen.push(`${req.method} ${req.url} ${req.headers["proxy-authorization"]}`);
    const { pathname, search } = new URL(req.url ?? "");
    req.pipe(plainRequest({ host: "127.0.0.1", port: plain.port, method: req.method, path: pathname + search, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(res);
    }));
  });
  proxy.on("connect", (req, socket, head) => {
    seen.push(`CONNECT ${req.url} ${req.headers["proxy-authorization"]}`);
    const upstream = connect(secure.port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  try {
    const address = `http://me:pass@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const digest = plain.addManifest("1", {});
    secure.addManifest("1", {});
    const root = certsFolder("secure.example", { "hosts.toml": 'server = "https://registry.test"\nca = "ca.pem"', "ca.pem": pem("ca") });
    const other = certsFolder("plain.example", { "hosts.toml": 'server = "http://registry.test:5000"' });
    using registries = openRegistries({ proxies: { httpProxy: address, httpsProxy: address, noProxy: "" }, hosts: { certsFolders: [root, other] } });
    for (const registry of ["plain.example", "secure.example"]) assert.equal((await registries.repository(parseReference(`${registry}/a`)).resolve("1")).digest, digest);
    const credentials = `Basic ${Buffer.from("me:pass").toString("base64")}`;
    assert.deepEqual(seen, [`HEAD http://registry.test:5000/v2/a/manifests/1?ns=plain.example ${credentials}`, `CONNECT registry.test:443 ${credentials}`]);
    /* The loopback is reached directly. */
    assert.equal((await registries.repository(parseReference(`${plain.host}/a`)).resolve("1")).digest, digest);
    assert.equal(seen.length, 2);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test("insecure registries and mirrors are checked as Docker does", async () => {
  const insecure = parseInsecure(["http://a.example", "b.example:5000", "192.168.0.0/16", "[fe80::1]:5000", "index.docker.io"]);
  assert.deepEqual([...insecure.names], ["a.example", "b.example:5000", "[fe80::1]:5000", "docker.io"]);
  assert.deepEqual(await Promise.all(["a.example", "b.example", "192.168.7.7:5000", "127.8.8.8", "[::1]:1", "8.8.8.8"].map((host) => isInsecure(insecure, host))), [true, false, true, true, true, false]);
  for (const [text, message] of [["-a", /Cannot begin or end with a hyphen/], ["ftp://a", /should not contain ':\/\/'/], ["a b", /invalid host "a b"/], ["a:99999", /invalid port "99999"/]] as const) assert.throws(() => parseInsecure([text]), failed("invalid-parameter", message));
  assert.equal(parseMirror("https://m.example"), "https://m.example/");
  for (const [text, message] of [["m.example", /no scheme specified/], ["ftp://m", /unsupported scheme "ftp"/], ["http://m/?q", /query or fragment/], ["http://u:p@m", /username\/password not allowed in URI "http:\/\/u:xxxxx@m\/"/]] as const) assert.throws(() => parseMirror(text), failed("invalid-parameter", message));
});
