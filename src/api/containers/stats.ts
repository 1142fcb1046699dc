/** GET /containers/{name}/stats */
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { stats } from "../../engine/containers/stats/stats.ts";
import { boolQuery, type Route } from "../route.ts";
import { writePart } from "../streams.ts";

export function statsRoutes(context: LifecycleContext): Route[] {
  return [
    {
      method: "GET",
      path: "/containers/{name...}/stats",
      handler: async ({ params, query, res, signal }) => {
        const name = params["name"] as string;
        context.store.find(name);
        const stream = query.has("stream") ? boolQuery(query, "stream") : true;
        // Docker names no type for a stream.
        res.writeHead(200, stream ? {} : { "content-type": "application/json" });
        res.flushHeaders();
        for await (const sample of stats(context, name, { stream, oneShot: boolQuery(query, "one-shot"), signal })) writePart(res, `${JSON.stringify(sample)}\n`);
        res.end();
      },
    },
  ];
}
