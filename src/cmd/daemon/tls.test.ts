import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { AuthorizationMessage } from "../../api/authorization/exchange.ts";
import { Connections } from "../../api/connections.ts";
import { ApiServer } from "../../api/server.ts";
import { silentLogger } from "../../core/logger.ts";
import { tlsOptions } from "./listeners.ts";

/** A certificate authority with a server's and a client's certificate, and another authority's client. */
function authority(folder: string): void {
  const run = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  writeFileSync(join(folder, "san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  for (const name of ["ca", "foreign-ca"]) run("req", "-x509", ...key, "-subj", `/CN=${name}`, "-days", "1", "-keyout", `${name}-key.pem`, "-out", `${name}.pem`);
  for (const [name, issuer] of [["server", "ca"], ["client", "ca"], ["foreign", "foreign-ca"]] as const) {
    run("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}-key.pem`, "-out", `${name}.csr`);
    run("x509", "-req", "-in", `${name}.csr`, "-CA", `${issuer}.pem`, "-CAkey", `${issuer}-key.pem`, "-CAcreateserial", "-days", "1", "-extfile", "san", "-out", `${name}.pem`);
  }
}

test("with --tlsverify only clients with the authority's certificate are served", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-tls-"));
  const file = (name: string): string => join(folder, `${name}.pem`);
  const asked: AuthorizationMessage[] = [];
  const server = new ApiServer({
    authorization: () => ({ isEmpty: false, ask: async (_about, message) => void asked.push(message) }),
    routes: [{ method: "GET", path: "/_ping", handler: ({ res }) => void res.end("OK") }],
    connections: new Connections({ waiting: 10, total: 20 }),
    log: silentLogger,
    serverVersion: "1",
    experimental: false,
    minimumVersion: () => "1.24",
  });
  try {
    authority(folder);
    const config = { ca: file("ca"), cert: file("server"), key: file("server-key"), verifyClients: true };
    const listening = await server.listen({ listen: { host: "127.0.0.1", port: 0 }, tls: tlsOptions(config), names: new Set(["*"]) });
    const { port } = listening.address() as AddressInfo;
    const ask = (client?: string): Promise<number | string> =>
      new Promise((resolve) => {
        const identity = client === undefined ? {} : { cert: readFileSync(file(client)), key: readFileSync(file(`${client}-key`)) };
        request({ host: "localhost", port, path: "/_ping", ca: readFileSync(file("ca")), agent: false, family: 4, ...identity }, (response) => (response.resume(), resolve(response.statusCode ?? 0)))
          .on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
          .end();
      });
    assert.equal(await ask("client"), 200);
    const [{ User: user, UserAuthNMethod: method, RequestPeerCertificates: certificates = [] } = {}] = asked;
    assert.deepEqual([user, method, certificates.length], ["client", "TLS", 1], "authorization plugins are told who it is");
    assert.equal(Buffer.from(certificates[0] ?? "", "base64").toString(), readFileSync(file("client"), "utf8"));
    assert.equal(typeof (await ask()), "string");
    assert.equal(typeof (await ask("foreign")), "string");
    assert.throws(() => tlsOptions({ ...config, ca: "" }), /--tlscacert is needed with --tlsverify/);
    assert.throws(() => tlsOptions({ ...config, key: "/nosuch" }), /could not read key "\/nosuch"/);
  } finally {
    await server.close(0);
    rmSync(folder, { recursive: true });
  }
});
