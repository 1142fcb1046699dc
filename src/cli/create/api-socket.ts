/** --use-api-socket: the container gets the daemon's socket, and the credentials for registries that the client has. */
import { tarEnd, tarHeader, tarPadding } from "../../lib/tar-header.ts";
import type { AuthEntry } from "../config/file.ts";
import { path } from "../api/client.ts";
import { allCredentials } from "../registry/auth.ts";
import type { AuthConfig } from "../registry/auth.ts";
import type { Session } from "../session.ts";
import type { CreateBody } from "./body.ts";

const SOCKET = "/var/run/docker.sock";
const FOLDER = "/run/secrets/docker";

/** Adds them to the body; the result puts the credentials into the container that was made of it. Who sets DOCKER_CONFIG has credentials of its own. */
export function useApiSocket(session: Session, body: CreateBody): (id: string) => Promise<void> {
  const { host } = session.client;
  const source = host.startsWith("unix://") ? host.slice("unix://".length) : SOCKET;
  body.HostConfig["Mounts"] = [...((body.HostConfig["Mounts"] as object[] | undefined) ?? []), { Type: "bind", Source: source, Target: SOCKET, BindOptions: {} }];
  if (body.Env?.some((variable) => variable.startsWith("DOCKER_CONFIG="))) return async () => {};
  body.Env = [...(body.Env ?? []), `DOCKER_CONFIG=${FOLDER}`];
  const auths = Object.fromEntries(Object.entries(allCredentials(session.config.data)).map(([server, auth]) => [server, entryOf(auth)]));
  return async (id) => {
    await session.client.text("PUT", path`/containers/${id}/archive`, { query: { path: "/" }, body: archive(JSON.stringify({ auths })), headers: { "Content-Type": "application/x-tar" } });
  };
}

function entryOf({ username = "", password = "", identitytoken, registrytoken }: AuthConfig): AuthEntry {
  const auth = username === "" ? {} : { auth: Buffer.from(`${username}:${password}`).toString("base64") };
  return { ...auth, ...(identitytoken && { identitytoken }), ...(registrytoken && { registrytoken }) };
}

function archive(text: string): Buffer {
  const content = Buffer.from(text);
  const header = tarHeader({ name: `${FOLDER.slice(1)}/config.json`, size: content.length, mode: 0o600, mtime: Math.floor(Date.now() / 1000) });
  return Buffer.concat([header, content, tarPadding(content.length), tarEnd()]);
}
