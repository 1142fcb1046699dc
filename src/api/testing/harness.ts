/** An API server on a socket of its own, for tests. */
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo, NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../core/logger.ts";
import { type ConnectionLimits, Connections } from "../connections.ts";
import type { Route } from "../route.ts";
import { ApiServer, type ApiOptions, type ListenerOptions } from "../server.ts";
import { RawClient } from "./raw-client.ts";

export interface Harness extends AsyncDisposable {
  address: NetConnectOpts;
  connections: Connections;
  open(): RawClient;
  /** One request on a connection of its own; resolves with the whole answer. */
  request(head: string, body?: string | Buffer): Promise<string>;
}

export interface HarnessOptions extends Partial<Omit<ApiOptions, "routes" | "connections">> {
  limits?: ConnectionLimits;
  /** TCP on the loopback; otherwise a unix socket. */
  tcp?: Omit<ListenerOptions, "listen">;
}

export async function serve(routes: Route[], { limits, tcp, ...options }: HarnessOptions = {}): Promise<Harness> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-api-"));
  const path = join(folder, "s.sock");
  const connections = new Connections(limits ?? { waiting: 1000, total: 2000 });
  const server = new ApiServer({ routes, connections, log: silentLogger, serverVersion: "1.2.3", experimental: false, minimumVersion: () => "1.24", ...options });
  const listening = await server.listen(tcp === undefined ? { listen: { path } } : { listen: { host: "127.0.0.1", port: 0 }, ...tcp });
  const address: NetConnectOpts = tcp === undefined ? { path } : { host: "127.0.0.1", port: (listening.address() as AddressInfo).port };
  const open = (): RawClient => new RawClient(address);
  return {
    address,
    connections,
    open,
    async request(head, body = "") {
      const client = open();
      client.send(`${head.trim().replace(/\n\s*/g, "\r\n")}\r\nConnection: close\r\n\r\n`).send(body);
      const text = await client.untilEnd();
      client.socket.destroy();
      return text;
    },
    async [Symbol.asyncDispose]() {
      await server.close(0);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
