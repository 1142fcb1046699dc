/** DELETE /containers/{name}. */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { removeContainer } from "../../engine/containers/remove.ts";
import { boolQuery, sendEmpty } from "../route.ts";
import type { Call } from "../route.ts";

export async function handleRemove(context: ContainersContext, call: Call): Promise<void> {
  const { query } = call;
  await removeContainer(context, call.params["name"] as string, { force: boolQuery(query, "force"), link: boolQuery(query, "link"), volumes: boolQuery(query, "v") });
  sendEmpty(call, 204);
}
