/** The address that Prometheus reads metrics from, and which API operations are timed for it. */
import type { AddressInfo } from "node:net";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Route } from "../../api/route.ts";
import type { ActionKind } from "../../engine/system/metrics.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import { parseMetricsAddress } from "./option-values.ts";

/** Longer ones are cut off: nothing of a scrape takes time. */
const REQUEST_MILLISECONDS = 10_000;

/** Docker's names of actions, by operation. */
const ACTIONS: Record<string, readonly [ActionKind, string]> = {
  "POST /containers/create": ["container", "create"],
  "POST /containers/{}/start": ["container", "start"],
  "POST /containers/{}/stop": ["container", "stop"],
  "POST /containers/{}/restart": ["container", "restart"],
  "POST /containers/{}/kill": ["container", "kill"],
  "POST /containers/{}/pause": ["container", "pause"],
  "POST /containers/{}/unpause": ["container", "unpause"],
  "POST /containers/{}/exec": ["container", "exec_create"],
  "GET /containers/{}/changes": ["container", "changes"],
  "POST /commit": ["container", "commit"],
  "DELETE /containers/{}": ["container", "delete"],
  "POST /images/create": ["image", "pull"],
  "POST /images/{}/push": ["image", "push"],
  "POST /images/{}/tag": ["image", "tag"],
  "POST /images/load": ["image", "load"],
  "GET /images/{}/get": ["image", "save"],
  "DELETE /images/{}": ["image", "delete"],
  "POST /networks/create": ["network", "create"],
  "POST /networks/{}/connect": ["network", "connect"],
  "POST /networks/{}/disconnect": ["network", "disconnect"],
  "DELETE /networks/{}": ["network", "delete"],
};

export const actionOf = ({ method, path }: Pick<Route, "method" | "path">): readonly [ActionKind, string] | undefined => ACTIONS[`${method} ${path.replace(/\{[^}]*\}/g, "{}")}`];

export interface MetricsServer extends AsyncDisposable {
  url: string;
}

/** Serves GET /metrics in plain HTTP. Throws "system" when the address cannot be had. */
export async function serveMetrics(address: string, page: () => string): Promise<MetricsServer> {
  const { host, port } = parseMetricsAddress(address);
  const server = process.getBuiltinModule("node:http").createServer({ requestTimeout: REQUEST_MILLISECONDS }, (req, res) => answer(req, res, page));
  try {
    await listening(server, host, port);
  } catch (cause) {
    throw systemError(`cannot serve metrics on ${address}: ${messageOf(cause)}`, cause);
  }
  const bound = server.address() as AddressInfo;
  return {
    url: `http://${bound.family === "IPv6" ? `[${bound.address}]` : bound.address}:${bound.port}/metrics`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host !== "" && { host }) }, resolve);
  });
}

function answer(req: IncomingMessage, res: ServerResponse, page: () => string): void {
  const path = (req.url ?? "").split("?")[0];
  if (path !== "/metrics" || (req.method !== "GET" && req.method !== "HEAD")) {
    res.writeHead(path === "/metrics" ? 405 : 404).end();
    return;
  }
  res.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(page());
}
