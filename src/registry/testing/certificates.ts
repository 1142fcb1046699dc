/** An authority with certificates of a server and a client, made by openssl. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificates extends Disposable {
  /** Has ca.pem, server.pem, server-key.pem, client.pem, client-key.pem. */
  folder: string;
}

/** Of a server that is localhost, 127.0.0.1, and registry.test. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "gantry-certificates-"));
  const run = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  writeFileSync(join(folder, "names"), "subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1\n");
  run("req", "-x509", ...key, "-subj", "/CN=ca", "-days", "1", "-keyout", "ca-key.pem", "-out", "ca.pem");
  for (const name of ["server", "client"]) {
    run("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}-key.pem`, "-out", `${name}.csr`);
    run("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "1", "-extfile", "names", "-out", `${name}.pem`);
  }
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
