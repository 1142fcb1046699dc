/** Keeps and forgets credentials: with a helper program when one is configured, else in the configuration file. */
import type { ConfigFile } from "../config/file.ts";
import type { AuthConfig } from "./auth.ts";

function callHelper(helper: string, action: "store" | "erase", input: string): void {
  const { status, stdout, error } = process.getBuiltinModule("node:child_process").spawnSync(`docker-credential-${helper}`, [action], { input, encoding: "utf8" });
  if (error) throw new Error(`error storing credentials - err: ${error.message}, out: \`\``);
  if (status !== 0) throw new Error(`error storing credentials - err: exit status ${status}, out: \`${stdout.trim()}\``);
}

const helperFor = (config: ConfigFile, server: string): string | undefined => config.data.credHelpers?.[server] ?? config.data.credsStore;

export function storeCredentials(config: ConfigFile, auth: AuthConfig): void {
  const server = auth.serveraddress ?? "";
  const helper = helperFor(config, server);
  if (helper) {
    const secret = auth.identitytoken ? { Username: "<token>", Secret: auth.identitytoken } : { Username: auth.username ?? "", Secret: auth.password ?? "" };
    callHelper(helper, "store", JSON.stringify({ ServerURL: server, ...secret }));
    return;
  }
  const pair = Buffer.from(`${auth.username ?? ""}:${auth.password ?? ""}`).toString("base64");
  config.data.auths = { ...config.data.auths, [server]: { auth: pair, ...(auth.identitytoken ? { identitytoken: auth.identitytoken } : {}) } };
  config.save();
}

/** The server's entry under each way of writing it. */
export function eraseCredentials(config: ConfigFile, servers: string[]): void {
  let changed = false;
  for (const server of servers) {
    const helper = helperFor(config, server);
    if (helper) callHelper(helper, "erase", server);
    if (config.data.auths && Object.hasOwn(config.data.auths, server)) {
      delete config.data.auths[server];
      changed = true;
    }
  }
  if (changed) config.save();
}
