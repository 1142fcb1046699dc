/** Connections to a daemon through the proxy that the environment names: HTTP_PROXY, or HTTPS_PROXY with TLS, unless NO_PROXY has the host. */
import type { Socket } from "node:net";
import { checkProxy, proxyFor, proxySettings } from "../../lib/proxy.ts";
import { connectBySocks, isSocks } from "../../lib/socks.ts";
import { SocketReader } from "./reader.ts";

export interface ProxyTarget {
  host: string;
  port: number;
}

const HEAD_LIMIT = 64 * 1024;
const DIAL_MS = 30_000;

/** Undefined: it is reached directly. */
export async function dialThroughProxy(target: ProxyTarget, secure: boolean, environment: NodeJS.ProcessEnv): Promise<Socket | undefined> {
  const address = `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
  const proxy = proxyFor(new URL(`${secure ? "https" : "http"}://${address}`), proxySettings(environment));
  if (proxy === undefined) return undefined;
  checkProxy(proxy);
  const url = new URL(proxy);
  return isSocks(proxy) ? connectBySocks(url, target, DIAL_MS) : connectByHttp(url, address);
}

/** A tunnel (RFC 9110, CONNECT): what takes a connection over goes through it as well. */
async function connectByHttp(proxy: URL, address: string): Promise<Socket> {
  const socket = await connectTo(proxy);
  try {
    const credentials = proxy.username === "" ? "" : `Proxy-Authorization: Basic ${Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`).toString("base64")}\r\n`;
    socket.write(Buffer.from(`CONNECT ${address} HTTP/1.1\r\nHost: ${address}\r\n${credentials}\r\n`));
    // The daemon says nothing before it is asked: the answer's head is all that comes.
    const head = (await new SocketReader(socket).readThrough("\r\n\r\n", HEAD_LIMIT)) ?? "";
    const [, status, reason = ""] = /^HTTP\/1\.[01] (\d{3}) ?([^\r\n]*)/.exec(head) ?? [];
    if (status === undefined) throw new Error(`the proxy ${proxy.host} does not answer in HTTP`);
    if (!status.startsWith("2")) throw new Error(`the proxy ${proxy.host} refuses a connection to ${address}: ${status} ${reason}`.trim());
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function connectTo(proxy: URL): Promise<Socket> {
  const secure = proxy.protocol === "https:";
  const host = proxy.hostname.replace(/^\[|\]$/g, "");
  const port = Number(proxy.port || (secure ? 443 : 80));
  const net = process.getBuiltinModule("node:net");
  const servername = net.isIP(host) ? {} : { servername: host };
  const socket = secure ? process.getBuiltinModule("node:tls").connect({ host, port, ...servername }) : net.connect({ host, port, allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(new Error(`proxyconnect tcp: ${error.message}`, { cause: error }));
    socket.once("error", fail);
    socket.once(secure ? "secureConnect" : "connect", () => {
      socket.removeListener("error", fail);
      resolve(socket);
    });
  });
}
