/** GET /gantry/networks/path: the way of a packet, Gantry's own. */
import { networkPath } from "../../engine/networks/path.ts";
import type { PathContext } from "../../engine/networks/path.ts";
import { boolQuery, sendJson, type Route } from "../route.ts";

export function networkPathRoute(context: PathContext): Route {
  return {
    method: "GET",
    path: "/gantry/networks/path",
    handler: async (call) => {
      const text = (key: string): string => call.query.get(key) ?? "";
      const { destination, protocol, port, steps, reached, probe } = await networkPath(context, { from: text("from"), to: text("to"), protocol: text("protocol"), probe: boolQuery(call.query, "probe") });
      sendJson(call, 200, {
        From: text("from"),
        To: text("to"),
        Destination: destination,
        Protocol: protocol,
        ...(port === undefined ? {} : { Port: port }),
        Reached: reached === "maybe" ? "maybe" : reached ? "yes" : "no",
        Steps: steps.map(({ where, kind, verdict, text: what }) => ({ Where: where, Kind: kind, Verdict: verdict, Text: what })),
        ...(probe ? { Probe: { Succeeded: probe.succeeded, Text: probe.text } } : {}),
      });
    },
  };
}
