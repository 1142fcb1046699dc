/** Ping, version, info. */
import type { Info } from "../../engine/system/info.ts";
import type { SystemService } from "../../engine/system/service.ts";
import { atLeast, sendJson, sendJsonText, type Call, type Route } from "../route.ts";

/** They need nothing but a daemon that takes requests. */
export const pingRoutes: readonly Route[] = [
  { method: "GET", path: "/_ping", handler: (call) => ping(call, "OK") },
  { method: "HEAD", path: "/_ping", handler: (call) => ping(call, "") },
];

export function systemRoutes(system: SystemService): Route[] {
  return [
    { method: "GET", path: "/version", handler: (call) => sendJsonText(call, 200, system.version()) },
    { method: "GET", path: "/info", handler: async (call) => sendJson(call, 200, infoFor(call, await system.info())) },
  ];
}

function ping({ res }: Call, body: string): void {  res.writeHead(200, {
    "cache-control": "no-cache, no-store, must-revalidate",
    pragma: "no-cache",
    "builder-version": "2",
    swarm: "inactive",
    "content-type": "text/plain; charset=utf-8",
    "content-length": body.length,
  });
  res.end(body);
}

/** Older API versions have fields that were dropped since, and lack newer ones. */
function infoFor(call: Call, current: Info): Info {
  const info = { ...current };
  if (!atLeast(call.version, 47)) {
    info["RegistryConfig"] = { AllowNondistributableArtifactsCIDRs: null, AllowNondistributableArtifactsHostnames: null, ...(info["RegistryConfig"] as Info) };
  }
  if (!atLeast(call.version, 49)) {
    delete info["FirewallBackend"];
    for (const commit of ["ContainerdCommit", "RuncCommit", "InitCommit"]) {
      const { ID } = info[commit] as { ID: string };
      info[commit] = { ID, Expected: ID };
    }
  }
  if (!atLeast(call.version, 50)) Object.assign(info, { BridgeNfIptables: false, BridgeNfIp6tables: false });
  return info;
}
