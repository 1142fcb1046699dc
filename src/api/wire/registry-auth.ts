/** What clients say about registries in headers: X-Registry-Auth, X-Registry-Config, X-Meta-*. */
import type { RegistryAccess, RegistryCredentials } from "../../core/registry.ts";
import type { Call } from "../route.ts";

/** For one registry. A malformed header counts as none, as in Docker. */
export function registryAccess(call: Call): RegistryAccess {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(call.req.headers)) if (name.startsWith("x-meta-") && typeof value === "string") headers[name] = value;
  const auth = headerJson(call.req.headers["x-registry-auth"]);
  return { credentials: auth === undefined ? undefined : credentialsFrom(auth), headers };
}

function headerJson(header: string | string[] | undefined): object | undefined {
  if (typeof header !== "string" || header === "") return undefined;
  try {
    const json = JSON.parse(Buffer.from(header, "base64url").toString()) as unknown;
    return typeof json === "object" && json !== null && !Array.isArray(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

/** Keys in any case, as Go's decoder reads them. */
function credentialsFrom(auth: object): RegistryCredentials {
  const fields = new Map(Object.entries(auth).map(([key, value]) => [key.toLowerCase(), value as unknown]));
  const text = (key: string): string => {
    const value = fields.get(key);
    return typeof value === "string" ? value : "";
  };
  return { username: text("username"), password: text("password"), serverAddress: text("serveraddress"), identityToken: text("identitytoken"), registryToken: text("registrytoken") };
}
