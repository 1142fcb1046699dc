/** Keeps and forgets credentials: with a helper program when one is configured, else in the configuration file. */
import { messageOf } from "../../lib/errors.ts";
import type { AuthEntry, ConfigFile } from "../config/file.ts";
import { stderr } from "../streams.ts";
import type { AuthConfig } from "./auth.ts";

function callHelper(helper: string, action: "store" | "erase", input: string): void {
  const { status, stdout, error } = process.getBuiltinModule("node:child_process").spawnSync(`docker-credential-${helper}`, [action], { input, encoding: "utf8" });
  if (error) throw new Error(`error storing credentials - err: ${error.message}, out: \`\``);
  if (status !== 0) throw new Error(`error storing credentials - err: exit status ${status}, out: \`${stdout.trim()}\``);
}

const helperFor = (config: ConfigFile, server: string): string | undefined => config.data.credHelpers?.[server] ?? config.data.credsStore;

/** The server's address stays in the file also when a helper has the secret. */
export function storeCredentials(config: ConfigFile, auth: AuthConfig): void {
  const server = auth.serveraddress ?? "";
  const helper = helperFor(config, server);
  if (helper) {
    const secret = auth.identitytoken ? { Username: "<token>", Secret: auth.identitytoken } : { Username: auth.username ?? "", Secret: auth.password ?? "" };
    callHelper(helper, "store", JSON.stringify({ ServerURL: server, ...secret }));
    keep(config, server, {});
    return;
  }
  const pair = Buffer.from(`${auth.username ?? ""}:${auth.password ?? ""}`).toString("base64");
  const changed = keep(config, server, { auth: pair, ...(auth.identitytoken ? { identitytoken: auth.identitytoken } : {}) });
  if (!changed || !auth.password) return;
  stderr.line(`
WARNING! Your credentials are stored unencrypted in '${config.path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
`);
}

function keep(config: ConfigFile, server: string, entry: AuthEntry): boolean {
  const former = config.data.auths?.[server];
  if (former && JSON.stringify(former) === JSON.stringify(entry)) return false;
  config.data.auths = { ...config.data.auths, [server]: entry };
  config.save();
  return true;
}

/** The server's entry under each way of writing it. Throws when none could be erased, with each reason. */
export function eraseCredentials(config: ConfigFile, servers: readonly string[]): void {
  const failures: string[] = [];
  for (const server of servers) {
    try {
      erase(config, server);
    } catch (thrown) {
      failures.push(`${server}: ${messageOf(thrown)}`);
    }
  }
  if (failures.length === servers.length) throw new Error(failures.join("\n"));
}

function erase(config: ConfigFile, server: string): void {
  const helper = helperFor(config, server);
  if (helper) callHelper(helper, "erase", server);
  if (!config.data.auths || !Object.hasOwn(config.data.auths, server)) return;
  delete config.data.auths[server];
  config.save();
}
