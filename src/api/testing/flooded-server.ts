/** A server in a process of its own, whose files and memory a test watches: prints its port, answers /_ping.
 *  Its argument is how many milliseconds the head of a request may take. */
import type { AddressInfo } from "node:net";
import { silentLogger } from "../../core/logger.ts";
import { field, string, struct } from "../../lib/schema.ts";
import { Connections, limitsFor } from "../connections.ts";
import { sendJson, type Route } from "../route.ts";
import { ApiServer } from "../server.ts";
import { readBody } from "../wire/body.ts";

const schema = struct("Request", { Name: field(string) });
const routes: Route[] = [
  { method: "GET", path: "/_ping", handler: ({ res }) => void res.end("OK") },
  { method: "POST", path: "/json", handler: async (call) => sendJson(call, 200, await readBody(call, schema)) },
];

const server = new ApiServer({ routes, connections: new Connections(limitsFor(20_000)), log: silentLogger, serverVersion: "1", experimental: false, minimumVersion: () => "1.24", headMilliseconds: Number(process.argv[2]) });
const listening = await server.listen({ listen: { host: "127.0.0.1", port: 0 }, names: new Set() });
process.stdout.write(`${(listening.address() as AddressInfo).port}\n`);
