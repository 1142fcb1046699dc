/** What a daemon loads when it listens already. */
import { buildRoutes } from "../../api/build/routes.ts";
import { eventRoutes } from "../../api/events/routes.ts";
import { pluginRoutes } from "../../api/plugins/routes.ts";
import { registryRoutes } from "../../api/registry/routes.ts";
import type { Route } from "../../api/route.ts";
import { swarmRoutes } from "../../api/swarm/routes.ts";
import { systemRoutes } from "../../api/system/routes.ts";
import { unsupportedRoutes } from "../../api/unsupported.ts";
import type { SystemService } from "../../engine/system/service.ts";
import type { Engine } from "./engine.ts";

export { giveBackMemory } from "../../sys/memory.ts";
export { openEngine } from "./wire.ts";

export function allRoutes(engine: Engine, system: SystemService): Route[] {
  const routes = [...systemRoutes(system), ...registryRoutes(engine.registries), ...eventRoutes(engine.events), ...swarmRoutes(), ...pluginRoutes(), ...buildRoutes(engine.events), ...engine.routes];
  return [...routes, ...unsupportedRoutes(routes, (ref) => engine.requireContainer(ref))];
}
