/** What a TLS connection trusts and shows. */
import type { SecureContext } from "node:tls";
import { readFileSync } from "node:fs";

export interface TlsSettings {
  /** Any certificate will do. */
  skipVerify: boolean;
  /** PEM files of further authorities. */
  authorities: readonly string[];
  /** PEM files of client certificates and their keys. */
  clientPairs: readonly (readonly [cert: string, key: string])[];
}

export const defaultTls: TlsSettings = { skipVerify: false, authorities: [], clientPairs: [] };

/* Where distributions keep the system's authorities, in the order in which Go looks. */
const systemBundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"];

/** The system's authorities; when it has none, those that Node brings. */
function systemAuthorities(): string[] {
  const chosen = process.env["SSL_CERT_FILE"];
  for (const path of chosen === undefined ? systemBundles : [chosen]) {
    try {
      return [readFileSync(path, "utf8")];
    } catch {
      /* The next one. */
    }
  }
  return process.getBuiltinModule("node:tls").getCACertificates("bundled");
}

/** Throws with the path of a file that cannot be used. */
export function secureContext(settings: TlsSettings): SecureContext {
  const tls = process.getBuiltinModule("node:tls");
  const { skipVerify, authorities, clientPairs } = settings;
  const read = (path: string): Buffer => readFileSync(path);
  try {
    return tls.createSecureContext({
      minVersion: "TLSv1.2",
      ...(skipVerify ? {} : { ca: [...systemAuthorities(), ...authorities.map(read)] }),
      ...(clientPairs.length === 0 ? {} : { cert: clientPairs.map(([cert]) => read(cert)), key: clientPairs.map(([, key]) => read(key)) }),
    });
  } catch (cause) {
    const files = [...authorities, ...clientPairs.flat()].join(", ");
    throw new Error(`cannot use the certificates ${files}: ${(cause as Error).message}`, { cause });
  }
}

/** Equal settings with equal files have equal keys. */
export function tlsKey({ skipVerify, authorities, clientPairs }: TlsSettings): string {
  const files = [...authorities, ...clientPairs.flat()];
  const stamp = (path: string): string => `${path}@${process.getBuiltinModule("node:fs").statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? "missing"}`;
  return [skipVerify, ...files.map(stamp)].join("\n");
}
