/** GET /containers/{name}/top */
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { top } from "../../engine/containers/top/top.ts";
import { sendJson, type Route } from "../route.ts";

export function topRoutes(context: LifecycleContext): Route[] {
  return [
    {
      method: "GET",
      path: "/containers/{name...}/top",
      handler: async (call) => sendJson(call, 200, await top(context, call.params["name"] as string, call.query.get("ps_args") ?? "")),
    },
  ];
}
