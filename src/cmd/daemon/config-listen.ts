/** The addresses that the API is served on, and their protection. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { FlagValues } from "../../lib/flags.ts";
import { type Host, parseHost } from "./option-values.ts";
import { DEFAULT_HOST } from "./options.ts";

export interface TlsConfig {
  ca: string;
  cert: string;
  key: string;
  verifyClients: boolean;
}

export function hostsOf(values: FlagValues, withTls: boolean): Host[] {
  const texts = [...new Set(values.list("host").filter((text) => text.trim() !== ""))].sort();
  if (texts.length === 0) texts.push(withTls ? "tcp://127.0.0.1:2376" : DEFAULT_HOST);
  return texts.map((text) => parseHost(text, withTls ? 2376 : 2375));
}

export function tlsOf(values: FlagValues, environment: NodeJS.ProcessEnv): TlsConfig | undefined {
  const verifySaid = values.changed("tlsverify") || (environment["DOCKER_TLS_VERIFY"] ?? "") !== "";
  if (!values.bool("tls") && !verifySaid) return undefined;
  const folder = environment["DOCKER_CERT_PATH"] || environment["DOCKER_CONFIG"] || join(homedir(), ".docker");
  const file = (flag: string, name: string): string => {
    if (values.changed(flag)) return values.string(flag);
    return existsSync(join(folder, name)) ? join(folder, name) : "";
  };
  return { ca: file("tlscacert", "ca.pem"), cert: file("tlscert", "cert.pem"), key: file("tlskey", "key.pem"), verifyClients: values.changed("tlsverify") ? values.bool("tlsverify") : true };
}
