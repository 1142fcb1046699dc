/** POST /auth: checks credentials against their registry. */
import type { Registries, RegistryCredentials } from "../../core/registry.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { field, string, struct } from "../../lib/schema.ts";
import { type Call, sendJson } from "../route.ts";
import { readText } from "../wire/body.ts";
import { decode, parseBody } from "../wire/decode.ts";

const authConfig = struct("registry.AuthConfig", {
  username: field(string),
  password: field(string),
  serveraddress: field(string),
  identitytoken: field(string),
  registrytoken: field(string),
});

export async function authenticate(registries: Registries, call: Call): Promise<void> {
  const { identityToken } = await registries.login(await credentialsOf(call), { signal: call.signal });
  sendJson(call, 200, { Status: "Login Succeeded", ...(identityToken === "" ? {} : { IdentityToken: identityToken }) });
}

async function credentialsOf(call: Call): Promise<RegistryCredentials> {
  const body = await readText(call);
  try {
    const { username, password, serveraddress, identitytoken } = decode(authConfig, parseBody(body));
    return { username, password, serverAddress: serveraddress, identityToken: identitytoken };
  } catch (cause) {
    throw invalidParameter(`invalid X-Registry-Auth header: ${messageOf(cause)}`, cause);
  }
}
