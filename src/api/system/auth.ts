/** POST /auth: checks credentials against a registry. Until registries are supported, it says why a registry cannot be asked. */
import type { Socket } from "node:net";
import { invalidParameter, messageOf, notImplemented, systemError } from "../../lib/errors.ts";
import { field, string, struct } from "../../lib/schema.ts";
import { quote } from "../../lib/strconv.ts";
import type { Call, Route } from "../route.ts";
import { readText } from "../wire/body.ts";
import { decode, parseBody } from "../wire/decode.ts";

const CONNECT_MILLISECONDS = 15_000;
const HUB = "registry-1.docker.io";

const credentials = struct("AuthConfig", {
  username: field(string),
  password: field(string),
  serveraddress: field(string),
  identitytoken: field(string),
  registrytoken: field(string),
});

export function authRoute(): Route {
  return { method: "POST", path: "/auth", handler: authenticate };
}

async function authenticate(call: Call): Promise<void> {
  const { serveraddress } = await credentialsOf(call);
  const host = hostOf(serveraddress);
  await connect(host);
  throw notImplemented(`SystemAuth (POST /auth): logging in to ${host} is not supported yet`);
}

async function credentialsOf(call: Call): Promise<{ serveraddress: string }> {
  const body = await readText(call);
  try {
    return decode(credentials, parseBody(body));
  } catch (cause) {
    throw invalidParameter(`invalid X-Registry-Auth header: ${messageOf(cause)}`, cause);
  }
}

/** The registry of an address, which may be a URL. */
function hostOf(address: string): string {
  const match = /^(?:https?:\/\/)?([^/]*)/.exec(address);
  const host = match?.[1] ?? "";
  const wrong = /[^A-Za-z0-9.:[\]_-]/.exec(host);
  if (wrong !== null) throw invalidParameter(`unable to parse server address: parse ${quote(address.includes("://") ? address : `https://${address}`)}: invalid character ${quote(wrong[0])} in host name`);
  return host === "" || host === "index.docker.io" || host === "docker.io" ? HUB : host;
}

/** Throws in Go's words when the registry cannot be reached. */
async function connect(host: string): Promise<void> {
  const [, name = host, port = "443"] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  const net = process.getBuiltinModule("node:net");
  const socket: Socket = net.connect({ host: name.replace(/^\[|\]$/g, ""), port: Number(port) });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(CONNECT_MILLISECONDS, () => reject(new Error(`dial tcp ${name}:${port}: i/o timeout`)));
      socket.once("connect", resolve);
      socket.once("error", (error: NodeJS.ErrnoException) => reject(new Error(dialError(error, `${name}:${port}`))));
    });
  } catch (cause) {
    throw systemError(`Get "https://${host}/v2/": ${messageOf(cause)}`, cause);
  } finally {
    socket.destroy();
  }
}

function dialError(error: NodeJS.ErrnoException, address: string): string {
  if (error.code === "ECONNREFUSED") return `dial tcp ${address}: connect: connection refused`;
  if (error.code === "ENOTFOUND" || error.code === "EAI_AGAIN") return `dial tcp: lookup ${address.replace(/:\d+$/, "")}: no such host`;
  return `dial tcp ${address}: ${error.message}`;
}
