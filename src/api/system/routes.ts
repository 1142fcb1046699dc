/** Ping, version, info. */
import type { Info } from "../../engine/system/info.ts";
import type { SystemService } from "../../engine/system/service.ts";
import { atLeast, sendJson, sendJsonText, type Call, type Route } from "../route.ts";

/** They need nothing but a daemon that takes requests. */
export function pingRoutes(builder: () => BuilderVersion): Route[] {
  return [
    { method: "GET", path: "/_ping", handler: (call) => ping(call, { body: "OK", builder: builder() }) },
    { method: "HEAD", path: "/_ping", handler: (call) => ping(call, { body: "", builder: builder() }) },
  ];
}

/** What builds clients should ask for: "2" by BuildKit, "1" by the classic builder. */
export type BuilderVersion = "1" | "2";

export function systemRoutes(system: SystemService): Route[] {
  return [
    { method: "GET", path: "/version", handler: (call) => sendJsonText(call, 200, system.version()) },
    { method: "GET", path: "/info", handler: async (call) => sendJson(call, 200, infoFor(call, await system.info())) },
  ];
}

function ping({ res }: Call, { body, builder }: { body: string; builder: BuilderVersion }): void {
  res.writeHead(200, {
    "cache-control": "no-cache, no-store, must-revalidate",
    pragma: "no-cache",
    "builder-version": builder,
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
