/** Debian's docker-registry, with passwords, TLS and tokens; the stock client and skopeo beside ours. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { type Certificates, makeCertificates } from "../../src/registry/testing/certificates.ts";
import { Cli } from "../harness/cli.ts";
import { endEngine, Engine, project } from "../harness/engine.ts";
import { digestOf as sha256 } from "../../src/lib/digest.ts";
import { Machine } from "../harness/machine.ts";

const has = (program: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
};

/** The machine has a loopback of its own: any port is free there. */
const ports = { open: 5000, locked: 5001, secure: 5002, tokens: 5003, tokenServer: 5004 };
const at = (name: keyof typeof ports): string => `127.0.0.1:${ports[name]}`;
/** user:secret */
const passwords = "user:$2y$05$v49lpMLR3CUUU4fC63GQw.uIvRxBhMrYLDFJwWsPbS6C3en6rEaXC\n";

describe("docker-registry", { skip: has("docker-registry") ? false : "no docker-registry (Debian: docker-registry)" }, () => {
  let engine: Engine;
  let gantry: Cli;
  let certificates: Certificates;
  const pids: string[] = [];

  before(async () => {
    certificates = makeCertificates();
    const machine = await Machine.create();
    const config = join(machine.folder, "daemon.json");
    writeFileSync(config, JSON.stringify({ "max-concurrent-uploads": 2 }));
    const certs = join(machine.folder, "certs.d", at("secure"));
    mkdirSync(certs, { recursive: true });
    for (const [from, to] of [["ca.pem", "ca.crt"], ["client.pem", "client.cert"], ["client-key.pem", "client.key"]] as const) writeFileSync(join(certs, to), readFileSync(join(certificates.folder, from)));
    engine = new Engine(machine, { flags: ["--config-file", config] });
    await engine.start();
    await engine.importBusybox();
    gantry = new Cli(join(project, "bin/gantry"), engine);
    const pem = (name: string): string => join(certificates.folder, `${name}.pem`);
    const htpasswd = join(machine.folder, "htpasswd");
    writeFileSync(htpasswd, passwords);
    await Promise.all([
      registry("open", {}),
      registry("locked", { auth: { htpasswd: { realm: "r", path: htpasswd } } }),
      registry("secure", { http: { tls: { certificate: pem("server"), key: pem("server-key"), clientcas: [pem("ca")] } } }),
      registry("tokens", { auth: { token: { realm: `http://${at("tokenServer")}/token`, service: "registry", issuer: "test", rootcertbundle: pem("server") } } }),
      started("tokenServer", [join(project, "build/node"), join(import.meta.dirname, "token-server.ts"), String(ports.tokenServer), pem("server"), pem("server-key")]),
    ]);
  });

  after(async () => {
    for (const pid of pids) engine.machine.run("kill", "-9", pid);
    certificates[Symbol.dispose]();
    await endEngine(engine);
  });

  /** Runs a program inside until the end of the tests; resolves when its port answers. */
  async function started(name: keyof typeof ports, argv: string[]): Promise<void> {
    const pidfile = join(engine.machine.folder, `${name}.pid`);
    const logfile = join(engine.machine.folder, `${name}.log`);
    engine.machine.spawn(["sh", "-c", `echo $$ >${pidfile}; exec "$@" >${logfile} 2>&1`, "sh", ...argv], { stdio: "ignore" });
    await eventually(() => {
      try {
        engine.machine.run("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${ports[name]}`);
      } catch (error) {
        throw new Error(`${name} does not listen: ${readFileSync(logfile, "utf8")}`, { cause: error });
      }
    });
    pids.push(readFileSync(pidfile, "utf8").trim());
  }

  function registry(name: keyof typeof ports, more: Record<string, object>): Promise<void> {
    const file = join(engine.machine.folder, `${name}.json`);
    const http = { addr: at(name), ...more["http"] };
    writeFileSync(file, JSON.stringify({ version: 0.1, log: { level: "error" }, storage: { filesystem: { rootdirectory: join(engine.machine.folder, `${name}-data`) } }, ...more, http }));
    return started(name, ["docker-registry", "serve", file]);
  }

  const digestOf = (output: string): string => /digest: (sha256:[0-9a-f]{64})/.exec(output)?.[1] ?? assert.fail(output);
  const pushed = async (cli: Cli, name: string): Promise<string> => {
    await gantry.ok("tag", "busybox", name);
    return digestOf(await cli.ok("push", name));
  };

  test("push: as it is here, then nothing again, and mounted from elsewhere", async () => {
    const name = `${at("open")}/a:1`;
    const digest = await pushed(gantry, name);
    assert.equal(digest, (await engine.api.json("GET", `/images/${name}/json`)).Descriptor.digest);
    assert.match(await gantry.ok("push", name), /Layer already exists/);
    assert.equal(await pushed(gantry, `${at("open")}/team/b:2`), digest);
    const { Descriptor, Platforms } = await engine.api.json("GET", `/distribution/${name}/json`);
    assert.deepEqual([Descriptor.digest, Platforms], [digest, null]);
    await gantry.ok("tag", "busybox", `${at("open")}/a:2`);
    assert.equal((await gantry.ok("push", "-q", "-a", `${at("open")}/a`)), `${at("open")}/a`);
  });

  test("pull: by tag, by digest and all tags; it runs as the same image", async () => {
    const name = `${at("open")}/pull:1`;
    const digest = await pushed(gantry, name);
    const removed = async (): Promise<void> => {
      for (const { Id } of await engine.api.json("GET", "/images/json")) await engine.api.json("DELETE", `/images/${Id}`, { query: { force: true } });
    };
    await removed();
    const out = await gantry.ok("pull", name);
    assert.match(out, new RegExp(`Pulling from pull\n[^]*Digest: ${digest}\nStatus: Downloaded newer image for ${name}\n${name}$`));
    assert.match(await gantry.ok("pull", name), /Status: Image is up to date/);
    await gantry.ok("tag", name, `${at("open")}/pull:2`);
    await gantry.ok("push", `${at("open")}/pull:2`);
    await removed();
    const all = await gantry.ok("pull", "-a", `${at("open")}/pull`);
    for (const tag of ["1", "2"]) assert.match(all, new RegExp(`${tag}: Pulling from pull\n[^]*newer image for ${at("open")}/pull:${tag}\n`));
    await removed();
    assert.equal(await gantry.ok("pull", "-q", `${at("open")}/pull@${digest}`), `${at("open")}/pull@${digest}`);
    await gantry.ok("tag", `${at("open")}/pull@${digest}`, "busybox");
    const missing = await gantry.run(["pull", `${at("open")}/pull:none`]);
    assert.deepEqual([missing.code, missing.stderr], [1, `Error response from daemon: failed to resolve reference "${at("open")}/pull:none": ${at("open")}/pull:none: not found\n`]);
  });

  test("skopeo finds what was pushed, byte by byte", async (t) => {
    if (!has("skopeo")) return t.skip("no skopeo");
    const name = `${at("open")}/skopeo:1`;
    const digest = await pushed(gantry, name);
    const copy = join(engine.machine.folder, "copy");
    engine.machine.run("skopeo", "copy", "--src-tls-verify=false", `docker://${name}`, `dir:${copy}`);
    assert.equal(sha256(readFileSync(join(copy, "manifest.json"))), digest);
    /* What it writes, gzipped, is pulled: and pushed on as it came. */
    engine.machine.run("skopeo", "copy", "--dest-tls-verify=false", "--dest-compress-format", "gzip", "--dest-compress", `dir:${copy}`, `docker://${at("open")}/zipped:1`);
    await gantry.ok("pull", `${at("open")}/zipped:1`);
    await gantry.ok("tag", `${at("open")}/zipped:1`, `${at("locked")}/zipped:1`);
    await gantry.run(["login", "-u", "user", "--password-stdin", at("locked")], "secret\n");
    await gantry.ok("push", `${at("locked")}/zipped:1`);
    const [there, here] = ["open", "locked"].map((one) => engine.machine.run("skopeo", "inspect", "--raw", "--tls-verify=false", "--creds", "user:secret", `docker://${at(one as "open")}/zipped:1`));
    assert.equal(here, there);
    await gantry.ok("logout", at("locked"));
  });

  test("passwords: refused without, then by login, and forgotten by logout", async () => {
    const name = `${at("locked")}/a:1`;
    await gantry.ok("tag", "busybox", name);
    assert.match((await gantry.run(["pull", name])).stderr, /no basic auth credentials/);
    assert.match((await gantry.run(["push", name])).stderr, /no basic auth credentials/);
    assert.match((await gantry.run(["login", "-u", "user", "--password-stdin", at("locked")], "wrong")).stderr, /401 Unauthorized/);
    const login = await gantry.run(["login", "-u", "user", "--password-stdin", at("locked")], "secret\n");
    assert.deepEqual([login.code, login.stdout], [0, "Login Succeeded\n"], login.stderr);
    await pushed(gantry, name);
    await gantry.ok("logout", at("locked"));
    assert.equal((await gantry.run(["push", `${at("locked")}/a:1`])).code, 1);
  });

  test("TLS with a client's certificate from certs.d", async () => {
    await pushed(gantry, `${at("secure")}/a:1`);
    await gantry.ok("rmi", `${at("secure")}/a:1`);
    await gantry.ok("pull", `${at("secure")}/a:1`);
  });

  test("tokens: public images for all, others for who logs in, by password and by identity token", async () => {
    await gantry.ok("tag", "busybox", `${at("tokens")}/a:1`);
    assert.match((await gantry.run(["push", `${at("tokens")}/a:1`])).stderr, /push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed/);
    assert.match((await gantry.run(["login", "-u", "user", "--password-stdin", at("tokens")], "wrong")).stderr, /unauthorized: incorrect username or password/);
    assert.equal((await gantry.run(["login", "-u", "user", "--password-stdin", at("tokens")], "secret")).stdout, "Login Succeeded\n");
    const config = JSON.parse(readFileSync(join(engine.machine.folder, "client/config.json"), "utf8"));
    assert.equal(config.auths[at("tokens")].identitytoken, "lasting");
    await pushed(gantry, `${at("tokens")}/a:1`);
    await pushed(gantry, `${at("tokens")}/public:1`);
    await gantry.ok("pull", `${at("tokens")}/a:1`);
    await gantry.ok("logout", at("tokens"));
    await gantry.ok("pull", `${at("tokens")}/public:1`);
    assert.match((await gantry.run(["pull", `${at("tokens")}/a:1`])).stderr, /pull access denied for .*\/a, repository does not exist or may require 'docker login'/);
  });

  test("the stock client: login, push, search's refusal", async (t) => {
    if (!has("docker")) return t.skip("no docker client");
    const docker = new Cli("docker", engine);
    assert.equal((await docker.run(["login", "-u", "user", "--password-stdin", at("locked")], "secret\n")).code, 0);
    await pushed(docker, `${at("locked")}/stock:1`);
    assert.match(await docker.ok("pull", `${at("locked")}/stock:1`), /Status: Image is up to date/);
    assert.match((await docker.run(["search", `${at("open")}/x`])).stderr, /unexpected status code 404/);
  });
});
