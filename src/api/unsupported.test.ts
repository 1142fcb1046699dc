import assert from "node:assert/strict";
import { test } from "node:test";
import { notFound } from "../lib/errors.ts";
import { EventBus } from "../engine/events/bus.ts";
import { SystemService } from "../engine/system/service.ts";
import { buildRoutes } from "./build/routes.ts";
import { eventRoutes } from "./events/routes.ts";
import { pluginRoutes } from "./plugins/routes.ts";
import { registryRoutes } from "./registry/routes.ts";
import type { Route } from "./route.ts";
import { Router } from "./router.ts";
import { swarmRoutes } from "./swarm/routes.ts";
import { pingRoutes, systemRoutes } from "./system/routes.ts";
import { serve } from "./testing/harness.ts";
import { unsupportedRoutes } from "./unsupported.ts";

/** The operations of Engine API 1.56. */
const OPERATIONS = `
GET /containers/json; POST /containers/create; GET /containers/x/json; GET /containers/x/top; GET /containers/x/logs; GET /containers/x/changes; GET /containers/x/export;
GET /containers/x/stats; POST /containers/x/resize; POST /containers/x/start; POST /containers/x/stop; POST /containers/x/restart; POST /containers/x/kill; POST /containers/x/update;
POST /containers/x/rename; POST /containers/x/pause; POST /containers/x/unpause; POST /containers/x/attach; GET /containers/x/attach/ws; POST /containers/x/wait; DELETE /containers/x;
HEAD /containers/x/archive; GET /containers/x/archive; PUT /containers/x/archive; POST /containers/prune; GET /images/json; POST /build; POST /build/prune; POST /images/create;
GET /images/a/b/json; GET /images/x/attestations; GET /images/x/history; POST /images/x/push; POST /images/x/tag; DELETE /images/x; GET /images/search; POST /images/prune; POST /auth;
GET /info; GET /version; GET /_ping; HEAD /_ping; POST /commit; GET /events; GET /system/df; GET /images/x/get; GET /images/get; POST /images/load; POST /containers/x/exec;
POST /exec/x/start; POST /exec/x/resize; GET /exec/x/json; GET /volumes; POST /volumes/create; GET /volumes/x; PUT /volumes/x; DELETE /volumes/x; POST /volumes/prune; GET /networks;
GET /networks/x; DELETE /networks/x; POST /networks/create; POST /networks/x/connect; POST /networks/x/disconnect; POST /networks/prune; GET /plugins; GET /plugins/privileges;
POST /plugins/pull; GET /plugins/x/json; DELETE /plugins/x; POST /plugins/x/enable; POST /plugins/x/disable; POST /plugins/x/upgrade; POST /plugins/create; POST /plugins/x/push;
POST /plugins/x/set; GET /nodes; GET /nodes/x; DELETE /nodes/x; POST /nodes/x/update; GET /swarm; POST /swarm/init; POST /swarm/join; POST /swarm/leave; POST /swarm/update;
GET /swarm/unlockkey; POST /swarm/unlock; GET /services; POST /services/create; GET /services/x; DELETE /services/x; POST /services/x/update; GET /services/x/logs; GET /tasks;
GET /tasks/x; GET /tasks/x/logs; GET /secrets; POST /secrets/create; GET /secrets/x; DELETE /secrets/x; POST /secrets/x/update; GET /configs; POST /configs/create; GET /configs/x;
DELETE /configs/x; POST /configs/x/update; GET /distribution/x/json; POST /session`
  .split(";")
  .map((line) => line.trim().split(" ") as [string, string]);

const nothing = new Set<string>();
const requireContainer = (ref: string): void => {
  if (nothing.has(ref)) throw notFound(`No such container: ${ref}`);
};

test("every operation of the Engine API has a route", () => {
  const system = new SystemService({} as ConstructorParameters<typeof SystemService>[0]);
  const served: Route[] = [...pingRoutes(() => "2"), ...systemRoutes(system), ...eventRoutes(new EventBus(() => {})), ...registryRoutes({} as Parameters<typeof registryRoutes>[0]), ...swarmRoutes(), ...pluginRoutes(), ...buildRoutes({ emit: () => {} })];
  const router = new Router([...served, ...unsupportedRoutes(served, requireContainer)]);
  assert.equal(OPERATIONS.length, 108);
  for (const [method, path] of OPERATIONS) assert.ok(router.find(method, path), `${method} ${path}`);
});

test("what is not supported says its name, after what the client got wrong", async () => {
  nothing.add("none");
  await using api = await serve(unsupportedRoutes([{ method: "GET", path: "/volumes", handler: ({ res }) => void res.end() }], requireContainer));
  const ask = (line: string, headers = ""): Promise<string> => api.request(`${line} HTTP/1.1\nHost: x${headers}`);
  assert.match(await ask("GET /containers/x/export"), /^HTTP\/1\.1 501 [^]*"ContainerExport \(GET \/containers\/\{id\}\/export\) is not supported yet"/);
  assert.match(await ask("GET /containers/none/export"), /^HTTP\/1\.1 404 [^]*"No such container: none"/);
  assert.match(await ask("POST /volumes/create", "\nContent-Type: text/plain\nContent-Length: 0"), /^HTTP\/1\.1 400 [^]*unsupported Content-Type header/);
  assert.match(await ask("GET /containers/x/checkpoints"), /^HTTP\/1\.1 501 [^]*experimental feature is disabled/);
  assert.match(await ask("GET /volumes"), /^HTTP\/1\.1 404 /, "what others serve is not refused");
});
