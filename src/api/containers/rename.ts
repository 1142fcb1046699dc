/** POST /containers/{name}/rename */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { renameContainer } from "../../engine/containers/rename.ts";
import { sendEmpty } from "../route.ts";
import type { Call } from "../route.ts";

export async function handleRename(context: ContainersContext, call: Call): Promise<void> {
  await renameContainer(context, call.params["name"] as string, call.query.get("name") ?? "");
  sendEmpty(call, 204);
}
