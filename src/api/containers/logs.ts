/** GET /containers/{name}/logs */
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { logs } from "../../engine/containers/lifecycle/logs.ts";
import { GantryError, codeOf, messageOf } from "../../lib/errors.ts";
import { parseUnixTimestamp } from "../../lib/timestamp.ts";
import { atLeast, boolQuery, type Call, type Route } from "../route.ts";
import { drained } from "../streams.ts";

export function logRoutes(context: LifecycleContext): Route[] {
  return [{ method: "GET", path: "/containers/{name...}/logs", handler: (call) => handleLogs(context, call) }];
}

async function handleLogs(context: LifecycleContext, call: Call): Promise<void> {
  const { query } = call;
  const since = moment(query, "since");
  const until = moment(query, "until");
  const tail = tailOf(query.get("tail"));
  const { tty, chunks } = await logs(context, call.params["name"] as string, {
    stdout: boolQuery(query, "stdout"),
    stderr: boolQuery(query, "stderr"),
    follow: boolQuery(query, "follow"),
    timestamps: boolQuery(query, "timestamps"),
    details: boolQuery(query, "details"),
    signal: call.signal,
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(tail === undefined ? {} : { tail }),
  });
  const { res } = call;
  res.writeHead(200, { "content-type": !tty && atLeast(call.version, 42) ? "application/vnd.docker.multiplexed-stream" : "application/vnd.docker.raw-stream" });
  res.flushHeaders();
  for await (const chunk of chunks) {
    if (call.signal.aborted) return;
    if (!res.write(chunk)) await drained(call);
  }
  res.end();
}

/** A point in time; "" and "0" are none. */
function moment(query: URLSearchParams, key: "since" | "until"): bigint | undefined {
  const text = query.get(key) ?? "";
  if (text === "" || text === "0") return undefined;
  try {
    return parseUnixTimestamp(text);
  } catch (error) {
    throw new GantryError(codeOf(error), `invalid value for "${key}": ${messageOf(error)}`, { cause: error });
  }
}

/** Docker takes whatever is no number of lines as all of them. */
function tailOf(text: string | null): number | undefined {
  return text !== null && /^\+?\d+$/.test(text) ? Number(text) : undefined;
}
