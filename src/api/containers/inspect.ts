/** GET /containers/{name}/json */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { inspectContainer } from "../../engine/containers/inspect.ts";
import { boolQuery, sendJsonText } from "../route.ts";
import type { Call } from "../route.ts";

export async function handleInspect(context: ContainersContext, call: Call): Promise<void> {
  const options = { size: boolQuery(call.query, "size"), version: call.version[1], hideEnvironment: call.confinement !== undefined };
  sendJsonText(call, 200, await inspectContainer(context, call.params["name"] as string, options));
}
