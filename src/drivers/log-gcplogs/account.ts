/** Whose rights entries are written with, in the order of Google's own clients: the file that the environment names, gcloud's own, the machine's. */
import { createSign } from "node:crypto";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { HttpSender } from "../../sys/http-sender.ts";
import { isOnGoogle, readMetadata } from "./instance.ts";

export interface Source {
  env: Readonly<Record<string, string | undefined>>;
  http: HttpSender;
}

const SCOPE = "https://www.googleapis.com/auth/logging.write";
const TOKEN_URL = "https://oauth2.googleapis.com/token";
/** A new token is asked for so long before the old one ends. */
const EARLY_MS = 60_000;
const ASSERTION_SECONDS = 3600;

/** The members of Google's credential files that are used. */
interface Key {
  type?: string;
  client_email?: string;
  private_key?: string;
  private_key_id?: string;
  token_uri?: string;
  universe_domain?: string;
  client_id?: string;
  client_secret?: string;
  refresh_token?: string;
}

interface Access {
  token: string;
  /** The domain of the services. */
  universe: string;
  /** Milliseconds since 1970. */
  until: number;
}

export class Account {
  readonly #source: Source;
  #access: Access | undefined;

  constructor(source: Source) {
    this.#source = source;
  }

  /** Rejects when there are no credentials, or they are refused. */
  async access(): Promise<Access> {
    if (!this.#access || this.#access.until <= Date.now()) this.#access = await this.#find();
    return this.#access;
  }

  /** The service did not like it. */
  forget(): void {
    this.#access = undefined;
  }

  async #find(): Promise<Access> {
    const { env } = this.#source;
    const named = env["GOOGLE_APPLICATION_CREDENTIALS"];
    const key = named ? readKey(named) : readKey(join(env["CLOUDSDK_CONFIG"] ?? join(homedir(), ".config", "gcloud"), "application_default_credentials.json"), { optional: true });
    const universe = key?.universe_domain ?? "googleapis.com";
    if (key) return { ...(await this.#exchange(key)), universe };
    if (!isOnGoogle(env)) throw new Error("google: could not find default credentials. See https://cloud.google.com/docs/authentication/external/set-up-adc for more information");
    return { ...accessIn(await readMetadata(this.#source, "instance/service-accounts/default/token")), universe };
  }

  async #exchange(key: Key): Promise<Omit<Access, "universe">> {
    const url = new URL(key.token_uri ?? TOKEN_URL);
    const body = Buffer.from(new URLSearchParams(grantOf(key, url.href)).toString());
    const { status, line, text } = await this.#source.http.ask({ method: "POST", url, body, headers: { "content-type": "application/x-www-form-urlencoded" } });
    if (status !== 200) throw new Error(`oauth2: cannot fetch token: ${line}: ${text.trim()}`);
    return accessIn(text);
  }
}

function readKey(path: string, { optional = false } = {}): Key | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (optional) return undefined;
    throw new Error(`google: error getting credentials using GOOGLE_APPLICATION_CREDENTIALS environment variable: ${(error as Error).message}`, { cause: error });
  }
  try {
    return JSON.parse(text) as Key;
  } catch (error) {
    throw new Error(`google: ${path} is no file of credentials`, { cause: error });
  }
}

function grantOf(key: Key, audience: string): Record<string, string> {
  const { type, client_id = "", client_secret = "", refresh_token = "" } = key;
  if (type === "service_account") return { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: assertionOf(key, audience) };
  if (type === "authorized_user") return { grant_type: "refresh_token", client_id, client_secret, refresh_token };
  throw new Error(`google: credentials of type ${JSON.stringify(type)} are not supported: there are service_account and authorized_user`);
}

/** RFC 7523, signed with the account's key. */
function assertionOf({ client_email: account, private_key: secret = "", private_key_id: keyId }: Key, audience: string): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "RS256", typ: "JWT", kid: keyId })}.${part({ iss: account, scope: SCOPE, aud: audience, iat: now, exp: now + ASSERTION_SECONDS })}`;
  return `${text}.${createSign("RSA-SHA256").update(text).sign(secret, "base64url")}`;
}

function accessIn(text: string): Omit<Access, "universe"> {
  const { access_token: token, expires_in: seconds } = JSON.parse(text) as { access_token?: string; expires_in?: number };
  if (token === undefined) throw new Error("oauth2: server response missing access_token");
  return { token, until: Date.now() + (seconds ?? 0) * 1000 - EARLY_MS };
}
