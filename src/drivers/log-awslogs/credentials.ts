/** Where credentials and the region of AWS come from, in the order of Amazon's own SDKs: options, environment, the shared file, the container's endpoint, the machine's metadata. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { HttpSender } from "../../sys/http-sender.ts";
import type { Credentials } from "./signature.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Source {
  /** The option awslogs-credentials-endpoint, a path. */
  endpoint: string | undefined;
  env: Environment;
  http: HttpSender;
}

const CONTAINER_ENDPOINT = "http://169.254.170.2";
const METADATA = "http://169.254.169.254";
/** New ones are asked for so long before the old ones end. */
const EARLY_MS = 5 * 60_000;

export interface Found {
  credentials: Credentials;
  /** Milliseconds since 1970; Infinity: they stay. */
  until: number;
}

/** Rejects when there are none. */
export async function findCredentials(source: Source): Promise<Found> {
  const { env, endpoint } = source;
  if (endpoint !== undefined) return fromEndpoint(source, new URL(endpoint, env["AWS_CONTAINER_ENDPOINT"] ?? CONTAINER_ENDPOINT), {});
  const fixed = fromEnvironment(env) ?? fromFile(env);
  if (fixed) return { credentials: fixed, until: Infinity };
  const uri = env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
  if (uri) return fromEndpoint(source, new URL(uri, CONTAINER_ENDPOINT), {});
  const full = env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
  if (full) return fromEndpoint(source, new URL(full), authorization(env));
  if (env["AWS_EC2_METADATA_DISABLED"] === "true") throw new Error("no AWS credentials were found");
  const role = (await fromMetadata(source, "/latest/meta-data/iam/security-credentials/")).trim();
  return credentialsIn(await fromMetadata(source, `/latest/meta-data/iam/security-credentials/${role}`));
}

/** Of the option, the environment or the machine. */
export async function findRegion(option: string | undefined, source: Source): Promise<string> {
  const known = option || source.env["AWS_REGION"];
  if (known) return known;
  try {
    return (await fromMetadata(source, "/latest/meta-data/placement/region")).trim();
  } catch (error) {
    throw new Error(`cannot determine region for awslogs driver: ${(error as Error).message}`, { cause: error });
  }
}

function fromEnvironment(env: Environment): Credentials | undefined {
  const [accessKey, secretKey, token] = [env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_SESSION_TOKEN"]];
  return accessKey && secretKey ? { accessKey, secretKey, ...(token && { token }) } : undefined;
}

function fromFile(env: Environment): Credentials | undefined {
  let text: string;
  try {
    text = readFileSync(env["AWS_SHARED_CREDENTIALS_FILE"] ?? join(homedir(), ".aws", "credentials"), "utf8");
  } catch {
    return undefined;
  }
  const profile = env["AWS_PROFILE"] ?? "default";
  const section = text.split(/^\s*\[/m).find((part) => part.slice(0, part.indexOf("]")).trim() === profile) ?? "";
  const value = (name: string): string | undefined => new RegExp(`^\\s*${name}\\s*=\\s*(\\S+)\\s*$`, "m").exec(section)?.[1];
  return fromEnvironment({ AWS_ACCESS_KEY_ID: value("aws_access_key_id"), AWS_SECRET_ACCESS_KEY: value("aws_secret_access_key"), AWS_SESSION_TOKEN: value("aws_session_token") });
}

function authorization(env: Environment): Record<string, string> {
  const file = env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
  const token = file ? readFileSync(file, "utf8").trim() : env["AWS_CONTAINER_AUTHORIZATION_TOKEN"];
  return token ? { authorization: token } : {};
}

async function fromEndpoint({ http }: Source, url: URL, headers: Record<string, string>): Promise<Found> {
  const { status, line, text } = await http.ask({ method: "GET", url, headers });
  if (status !== 200) throw new Error(`AWS credentials from ${url.href}: ${line}`);
  return credentialsIn(text);
}

/** Version 2: with a token. */
async function fromMetadata({ env, http }: Source, path: string): Promise<string> {
  const base = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] ?? METADATA;
  const token = await http.ask({ method: "PUT", url: new URL("/latest/api/token", base), headers: { "x-aws-ec2-metadata-token-ttl-seconds": "300" } });
  const url = new URL(path, base);
  const { status, line, text } = await http.ask({ method: "GET", url, headers: { "x-aws-ec2-metadata-token": token.text } });
  if (status !== 200) throw new Error(`${url.href}: ${line}`);
  return text;
}

function credentialsIn(text: string): Found {
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = JSON.parse(text) as Partial<Record<"AccessKeyId" | "SecretAccessKey" | "Token" | "Expiration", string>>;
  if (AccessKeyId === undefined || SecretAccessKey === undefined) throw new Error("an answer without AWS credentials");
  return { credentials: { accessKey: AccessKeyId, secretKey: SecretAccessKey, ...(Token !== undefined && { token: Token }) }, until: Expiration === undefined ? Infinity : Date.parse(Expiration) - EARLY_MS };
}
